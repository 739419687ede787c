"""``infra/bench whole``: one breast case through SegRelay and through what a hospital would run
instead, side by side.

Four series of 134 slices of 256 by 256 in a real Orthanc, SwinUNETR with the same random weights
for everybody, on this machine's processor. Every system is started once, its model is warm, and
its processes are counted with all that they start: processor time, memory (PSS, looked at four
times a second), bytes on the disk; Orthanc's own processor time and memory are told apart. In each
round every system has one job, in a new order; afterwards its SEG is looked at and removed. Only
SegRelay over a directory and Mosec run in every round, the others in the first one.

A *job* runs from the request until who asked knows that the SEG is in Orthanc. SegRelay is asked
as its page asks: every second while the job is worked on, every two while it waits.

==============  ==============================================================================
SegRelay        site under gunicorn with one worker and ``labseg sync``: the cloud with Orthanc;
                the agent: the lab. Over a directory, the site's queue and the fake bucket; at the
                site's queue also with lines to Orthanc and to the site
naive script    one request an image, weights loaded for each job, MONAI's chain, a SEG of all
                frames, one POST; its imports are done before
Mosec           one worker on the cloud machine, images over one connection, MONAI's chain, a SEG
                without empty frames; a small web process waits for the answer
MONAI Label     its server with Orthanc over DICOMweb, nothing kept from an earlier job; the SEG
                by its own program, saved over DICOMweb
==============  ==============================================================================

=============================  ============================================================
``cloud_cpu_vs_mosec``         processor time of the cloud machine for a job, ours over a
                               directory / Mosec's, Orthanc's counted for both;
                               ``…_without_orthanc`` leaves it out
``cloud_memory_vs_mosec``      the same of the largest memory
``job_vs_mosec``               Mosec's seconds of a job / ours over a directory
``job_vs_seed``                the same of the naive script
``job_vs_monailabel``          the same of MONAI Label
``eight_jobs_vs_mosec``        the same of all of eight jobs at once
``click_to_mask_s``            seconds from a click in the page, in Chromium, to the mask drawn,
                               and its stages: see :mod:`infra.benches.whole.click`
``overhead_s``                 the same without the network
``start_to_ready_s``           from a cold agent's start to its readiness
=============================  ============================================================
"""

from __future__ import annotations

from infra.benches.harness import Bench
from infra.benches.whole import phases
from infra.benches.whole.scene import WholePlan, WholeScene
from infra.benches.whole.systems import MONAILABEL, MOSEC, SEED
from infra.benches.whole.table import tables

BENCH = Bench(
    name="whole",
    description="One case through SegRelay and through what would be run instead.",
    seed=20_261_201,
    plan=WholePlan,
    options={
        "rounds": (2, "jobs of each system, and clicks"),
        "slices": (134, "in each of four series"),
        "jobs": (8, "at once, in the part that has several"),
    },
    quick={"rounds": 1, "slices": 24, "side": 64, "window": 64, "jobs": 2},
    peers=(SEED, MOSEC, MONAILABEL),
    scene=WholeScene,
    phases={
        "start": phases.start,
        "one job": phases.one_job,
        "several jobs": phases.several_jobs,
        "page": phases.page,
    },
    expected={
        "cloud_cpu_vs_mosec": ("at most", 0.01),
        "cloud_memory_vs_mosec": ("at most", 0.15),
        "job_vs_mosec": ("at least", 1.3),
        "job_vs_seed": ("at least", 3.0),
        "eight_jobs_vs_mosec": ("at least", 1.3),
        "overhead_s": ("at most", 2.0),
    },
    also_shown=(
        "job_vs_monailabel",
        "cloud_cpu_vs_mosec_without_orthanc",
        "cloud_memory_vs_mosec_without_orthanc",
        "start_to_ready_s",
    ),
    tables=tables,
)
