"""Segmentation jobs for the lab's GPU computer, as a reusable Django app.

``conf``        the settings dict ``SEGRELAY``, read and checked
``models``      the job table and its history
``catalogue``   Orthanc's studies; ``seriesfacts``, ``recognition``: which series plays which role
``lab``         agents and profiles, as the heartbeats tell
``selection``   which series of Orthanc a job takes
``services``    the only place where a job's state changes
``outcome``     what the bucket says of a job, as columns
``signals``     what other apps can listen to
``segmentation``, ``slices``, ``frames``   a SEG as masks on the displayed slices
``views``, ``admin``, ``management``       three ways in; they only call the above
``push``, ``openapi``                      Pub/Sub's notifications; the endpoints' description
"""
