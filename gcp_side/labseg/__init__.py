"""Segmentation jobs for the lab's GPU computer, as a reusable Django app.

``conf``         the settings dict ``SEGRELAY``, read and checked
``models``       the job table and its history; ``signals``: what other apps can listen to
``messages``     what is said to users, in their language
``access``       who may do what, and wrong passwords; ``host``: how the host project is set up
``dicom``        bytes of a SEG or an image as numbers
``orthanc``      studies and series of Orthanc
``recognition``  which series plays which role
``viewer``       voxels and masks as the page draws them
``jobs``         a job's life; ``jobs.rows`` is the only place where a job's state changes
``api``, ``pages``, ``admin``, ``management``
                 ways in, which only call the above

What a process keeps in memory: settings, bucket and Orthanc's client (``conf``, ``orthanc.client``,
renewed when settings change), the newest studies (``api.studies``), voxels, geometries and locks
(``viewer.volumes``, ``viewer.single_flight``). All else is in the database or Django's caches.
"""
