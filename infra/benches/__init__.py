"""Benchmarks: each measures SegRelay beside the naive way and others' tools in one run.

``queue``      the job queue: claims, cycles, history, latency (:mod:`infra.benches.queue.bench`)
``transfer``   downloads and uploads over lines (:mod:`infra.benches.transfer.bench`)
``web``        frames, overlays, first image (:mod:`infra.benches.web.bench`)

What they share:

``command``    options, folder, output, exit code
``child``      a contender in a process of its own, driven by lines of JSON
``answering``  that process's side
``report``     headlines, tables, progress
``machine``    where the figures come from

What ``queue`` is made of:

``contender``  what is asked of every queue, and how one job is timed
``relay``      SegRelay's queue as a contender
``naive``      one JSON file a job, rewritten in place
``peers``      persist-queue, huey, dirq, litequeue
``lower_bounds`` flushes alone, with no queue around them
``worker``     a contender's process
``workers``       the starter's side of ``worker``; blocks in turn, so that drift hits all alike
``listener``   the agent's loop of look and claim, alone
``latency``    from submit to claimed, with the doorbell, by scan, over the fake cloud bucket
``figures``    means, percentiles, ratios
``table``      the report as tables
"""
