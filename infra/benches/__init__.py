"""Benchmarks: each measures SegRelay beside the naive way and others' tools in one run.

``queue``      the job queue: claims, cycles, history, latency
``transfer``   downloads and uploads over lines
``web``        frames, overlays, first image
``infer``      from images to SEG on the CPU
``whole``      a case through all of it, beside what would be run instead

What they share:

``harness``    options, plan, scene, phases, report of a bench
``rounds``     contenders in interleaved rounds; medians and ratios
``child``      a contender in a process of its own, driven by lines of JSON
``answering``  that process's side
``orthanc``    a scene with Orthanc and studies in it
``report``     headlines, tables, progress
``machine``    where the figures come from
"""
