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
``read_vs_pydicom``         our CPU seconds for 620 images / pydicom's pixel_array, in turn
``seg_write_vs_naive_cpu``  CPU seconds of highdicom with all frames / ours, three segments of a
                            lesion of 51 ml; ``seg_large`` has those of one of 90 ml
``seg_size_vs_naive``       bytes of the same
==========================  ===============================================================
"""

from __future__ import annotations

from infra.benches.harness import Bench, Report, Scene
from infra.benches.infer import phases
from infra.benches.infer.scene import InferPlan, InferScene
from infra.benches.infer.table import tables


def against_limit(measured: Report) -> Report:
    """Our network seconds to the limit, by torch and by OpenVINO."""
    brain = measured["brain"]
    limit_s = brain["box_tflop"] * 1e3 / measured["sgemm_gflops"]
    return {
        "segresnet_vs_limit": round(brain["ours_s"]["network"] / limit_s, 2),
        "openvino_vs_limit": round(brain["openvino_network_s"] / limit_s, 2),
    }


BENCH: Bench[InferPlan, InferScene] = Bench(
    name="infer",
    description="From images to SEG on the CPU.",
    seed=20_261_124,
    plan=InferPlan,
    quick={"brain": (24, 64, 64), "breast": (24, 64, 64), "plain_window": 32, "net_window": 64},
    scene=Scene,
    phases={
        "matrix product": phases.matrix_limit,
        "brain": phases.brain,
        "SwinUNETR": phases.swin_network,
        "SEG": phases.seg_file,
        "breast job": phases.breast_job,
    },
    summary=against_limit,
    expected={
        "segresnet_vs_windows": ("at least", 8.0),
        "segresnet_vs_limit": ("at most", 2.5),
        "openvino_vs_limit": ("at most", 1.6),
        "swinunetr_net_vs_eager": ("at least", 1.6),
        "swinunetr_job_vs_plain": ("at least", 2.2),
        "read_vs_pydicom": ("at most", 0.6),
        "seg_write_vs_naive_cpu": ("at least", 2.0),
        "seg_size_vs_naive": ("at least", 4.0),
    },
    tables=tables,
)
