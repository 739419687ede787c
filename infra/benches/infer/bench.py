"""``infra/bench infer``: from images to SEG on the CPU, beside the plain way, in one run.

The plain way is MONAI's own chain: LoadImaged (PydicomReader), Orientationd where nibabel is
there, Spacingd, NormalizeIntensityd, sliding windows of 128 voxels a side, Invertd; with the
same weights, which are random. Series are synthetic tissue in black of the real sizes; their
files hold 170 private elements (68 kB), as scanners write them.

Brain: SegResNet, four series of 155 by 240 by 240; plain: windows that overlap by half. The
limit is the time that the network's floating-point operations over the foreground's box take
at the rate of a matrix product in fp32, measured in the same run.

Breast job: SwinUNETR, four series of 134 by 256 by 256 in a real Orthanc on loopback. Ours: the
worker is warm; from the inventory to the SEG that was read back, its report included. Plain: a
process for the job, one request an image without a session, the checkpoint loaded for the job,
MONAI's eager forward pass, overlap 0.25, a SEG of all frames.

==========================  ===============================================================
``segresnet_vs_windows``    plain network seconds / ours
``segresnet_vs_limit``      our network seconds / the limit
``openvino_vs_limit``       the same with ``cpu_engine = "openvino"``; compiling counts
``swinunetr_net_vs_eager``  MONAI's forward pass / ours, one window, the best of three each;
                            ``swinunetr_one_thread_vs_eager`` has CPU seconds on one thread, which
                            others at work disturb less
``swinunetr_job_vs_plain``  plain job / ours
``read_vs_pydicom``         our CPU seconds for 620 images / pydicom's pixel_array
``seg_write_vs_naive_cpu``  CPU seconds of highdicom with all frames / ours, three segments of a
                            lesion of 51 ml; ``seg_large`` has those of one of 90 ml
``seg_size_vs_naive``       bytes of the same
==========================  ===============================================================
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from infra.benches.command import heading, make_parser, run
from infra.benches.infer import phases
from infra.benches.infer.scene import Plan
from infra.benches.infer.table import print_report
from infra.benches.machine import describe_machine, load
from infra.benches.report import as_expected, step

PHASES = {
    "matrix product": phases.matrix_limit,
    "brain": phases.brain,
    "SwinUNETR": phases.swin_network,
    "SEG": phases.seg_file,
    "breast job": phases.breast_job,
}

EXPECTED = {
    "segresnet_vs_windows": ("at least", 8.0),
    "segresnet_vs_limit": ("at most", 2.5),
    "openvino_vs_limit": ("at most", 1.6),
    "swinunetr_net_vs_eager": ("at least", 1.6),
    "swinunetr_job_vs_plain": ("at least", 2.2),
    "read_vs_pydicom": ("at most", 0.6),
    "seg_write_vs_naive_cpu": ("at least", 2.0),
    "seg_size_vs_naive": ("at least", 4.0),
}

QUICK_SHAPE = (24, 64, 64)
DEFAULT_SEED = 20261124


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the exit code says whether it ran, not how fast."""
    options = _parser().parse_args(arguments)
    plan = Plan(seed=options.seed)
    if options.quick:
        plan = Plan(
            seed=options.seed,
            brain=QUICK_SHAPE,
            breast=QUICK_SHAPE,
            plain_window=32,
            net_window=64,
        )
    return run("infer", options, partial(measure, plan), print_report)


def measure(plan: Plan, folder: Path) -> dict[str, Any]:
    """Run every phase; returns the report."""
    machine = describe_machine(folder)
    measured: dict[str, Any] = {}
    for name, phase in PHASES.items():
        with step(name):
            (folder / phase.__name__).mkdir()
            measured |= phase(plan, folder / phase.__name__)
    machine["load_after"] = load()
    limit_s = measured["brain"]["box_tflop"] * 1e3 / measured["sgemm_gflops"]
    brain = measured["brain"]
    measured["segresnet_vs_limit"] = round(brain["ours_s"]["network"] / limit_s, 2)
    measured["openvino_vs_limit"] = round(brain["openvino_network_s"] / limit_s, 2)
    return {
        **heading("infer", plan.seed),
        "plan": {"brain": plan.brain, "breast": plan.breast},
        "machine": machine,
        "as_expected": as_expected(EXPECTED, measured),
        **measured,
    }


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("infer", "From images to SEG on the CPU.", seed=DEFAULT_SEED)
    parser.add_argument(
        "--quick", action="store_true", help="small series and windows: not for figures"
    )
    return parser
