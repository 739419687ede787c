"""The light agent process: queue, heartbeats, transfers; never imports numpy or torch.

::

    scan ─▶ claim ─▶ fetch ─▶ infer (worker process) ─▶ outbox ─▶ deliver ─▶ result, archive

``identity``   which process this is, and whether another one still lives
``board``      what the agent is doing: feeds heartbeat and progress
``heartbeat``  the thread that proves life
``case``       one job's data on its way through the stages
``fetch``      Orthanc to the job's folder
``outbox``     SEGs on disk that Orthanc has not confirmed
``deliver``    outbox to Orthanc, verified; then the result
``rounds``     when waiting SEGs are delivered, and what one failure means for the others
``pipeline``   the stages side by side
``agent``      the loop: scan, heal, claim, drain
``doorbell``   wakes the loop when the directory changes
``manual``     one segmentation by hand, without a queue
``status``     what the agent does and what waits, read from outside
``export``     a SEG that waits, as a file for a person
"""
