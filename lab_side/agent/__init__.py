"""The light agent process: queue, heartbeats, transfers; never imports numpy or torch.

::

    scan ─▶ claim ─▶ fetch ─▶ infer (worker process) ─▶ outbox ─▶ deliver ─▶ result, archive

``build``      makes the parts and joins them
``agent``      the loop: scan, recover, claim, pause, drain
``claiming``   whether a job may be claimed now, and which
``recovery``   what others and earlier lives have left in the queue
``pipeline``   the stages side by side
``fetch``      Orthanc to the job's folder
``infer``      the worker's SEG into the outbox
``attempts``   how an attempt begins, and how its end is carried out
``dispose``    what becomes of an attempt without a SEG: a pure decision
``delivery``   the outbox on disk, and its way to Orthanc and the result
``health``     heartbeat, orders, Orthanc, GPU, failures in a row
``reporting``  heartbeat's content, counters, metrics, status read from outside
``by_hand``    one segmentation without a queue
"""
