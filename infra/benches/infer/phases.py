"""What is measured, one after the other; each phase returns what it adds to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
import torch
from pydantic import SecretStr
from torch.utils.flop_counter import FlopCounterMode

from infra.benches.harness import Report
from infra.benches.infer.chain import HAS_ORIENTATION, run_chain
from infra.benches.infer.plain import naive_seg
from infra.benches.infer.scene import (
    BRAIN,
    BREAST,
    LESION,
    BreastSize,
    InferScene,
    random_model,
    write_series,
)
from infra.benches.rounds import ratio, timed
from infra.benches.study import SyntheticStudy, store_study
from infra.benches.web.study import tumour, tumour_of
from infra.packages.debian import repository_root
from infra.servers.orthanc import OrthancServer
from lab_side.agent.by_hand.manual import manifest_by_hand
from lab_side.agent.delivery.deliver import Uploader
from lab_side.agent.delivery.outbox import Outbox
from lab_side.agent.fetch import fetch
from lab_side.agent.folders import WorkFolders
from lab_side.agent.infer import infer
from lab_side.agent.job_context import JobContext
from lab_side.imaging.pipeline import _grid, _restore, network_input
from lab_side.imaging.read.series import SeriesVolume, read_series
from lab_side.imaging.volume.grid import grid_of
from lab_side.imaging.volume.postprocess import Mask, bounding_box
from lab_side.imaging.warm_up import warm_up_seg_writer
from lab_side.imaging.write.dicom_file import write_dataset
from lab_side.imaging.write.seg import SegOrigin, build_seg
from lab_side.models.inference import infer_foreground
from lab_side.models.loaded import LoadedModel, load_model
from lab_side.models.networks import build_network
from lab_side.worker.client import WorkerProcess
from lab_side.worker.protocol import LoadRequest
from segrelay.manifest import utc_now
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.profiles import load_profile

_MATRIX = 2048
_READING_ROUNDS = 5
_SEG_ROUNDS = 3
_SWIN_ROUNDS = 3
_PLAIN_OVERLAP = 0.5
_HANG_S = 900.0
_MOST_BYTES = 16 * 10**9


def matrix_limit(_scene: InferScene) -> Report:
    """GFLOP/s of a matrix product in fp32: what the machine can do at best."""
    first, second = torch.rand(2, _MATRIX, _MATRIX)
    best = min(_seconds(lambda: first @ second) for _ in range(8))
    return {"sgemm_gflops": float(f"{2 * _MATRIX**3 / best / 1e9:.3g}")}


def brain(scene: InferScene) -> Report:
    """A whole case of BraTS' size: ours, and MONAI's plain chain with the same network."""
    plan, folder = scene.plan, scene.new_folder()
    model = random_model(BRAIN, folder / "models")
    profile = model.profile
    study = SyntheticStudy("black", instances=plan.brain[0], matrix=plan.brain[1:], seed=plan.seed)
    folders = write_series(study, profile.roles, folder / "brain")
    start = time.perf_counter()
    volumes = {role: read_series(list(path.iterdir())) for role, path in folders.items()}
    grid, reference = _grid(volumes, profile), grid_of(volumes[profile.reference_role])
    channels = network_input(volumes, profile, grid)
    prepared = time.perf_counter()
    soft = infer_foreground(model.network, channels, profile.inference, model.device)
    computed = time.perf_counter()
    _restore(soft, profile, grid, reference)
    ended = time.perf_counter()
    plain = run_chain(
        folders, profile, model.network, window=(plan.plain_window,) * 3, overlap=_PLAIN_OVERLAP
    )
    net_s = computed - prepared
    by_openvino_s = _openvino_seconds(folder / "models" / BRAIN, channels)
    return {
        "segresnet_vs_windows": round(plain.network_s / net_s, 2),
        "brain": {
            "ours_s": _rounded(prepare=prepared - start, network=net_s, restore=ended - computed),
            "plain_s": _rounded(
                prepare=plain.prepare_s, network=plain.network_s, restore=plain.restore_s
            ),
            "whole_vs_plain": round(plain.total_s / (ended - start), 2),
            "openvino_network_s": round(by_openvino_s, 2),
            "box_tflop": round(_box_flop(model, channels) / 1e12, 3),
            "orientation_in_plain_chain": HAS_ORIENTATION,
        },
        **_reading(folders["t1c"].parent),
    }


def _openvino_seconds(profile_folder: Path, channels: np.ndarray) -> float:
    """Of the network by OpenVINO; that it compiles for the size of this box is counted."""
    model = load_model(profile_folder, cpu_engine="openvino")
    if model.engine_doubt:
        raise RuntimeError(model.engine_doubt)
    return _seconds(
        lambda: infer_foreground(model.network, channels, model.profile.inference, model.device)
    )


def _box_flop(model: LoadedModel, channels: np.ndarray) -> float:
    """Of one pass over the box of the foreground."""
    box = bounding_box((channels != 0).any(axis=0))
    sides = [32, 32, 32]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.network(torch.zeros(1, len(channels), *sides))
    multiple = model.profile.inference.foreground_multiple or 1
    parts = box or tuple(slice(0, size) for size in channels.shape[1:])
    voxels = np.prod([-(-(part.stop - part.start) // multiple) * multiple for part in parts])
    return float(counter.get_total_flops() / np.prod(sides) * voxels)


def _reading(folder: Path) -> Report:
    """CPU seconds: all series of a case as volumes; and as pydicom's pixel arrays, in turn."""
    series = [list(path.iterdir()) for path in folder.iterdir()]

    def by_pydicom() -> list[np.ndarray]:
        return [np.stack([pydicom.dcmread(f).pixel_array for f in files]) for files in series]

    ours, theirs = [], []
    for _ in range(_READING_ROUNDS):
        ours.append(_cpu_seconds(lambda: [read_series(files) for files in series]))
        theirs.append(_cpu_seconds(by_pydicom))
    return {
        "read_vs_pydicom": round(ratio(ours, theirs), 2),
        "reading_cpu_s": _rounded(ours=median(ours), pydicom=median(theirs)),
    }


def swin_network(scene: InferScene) -> Report:
    """One window through SwinUNETR: MONAI's eager pass, and ours with the same weights."""
    plan, folder = scene.plan, scene.new_folder()
    model = random_model(BREAST, folder / "models")
    eager = build_network(model.profile)
    eager.load_state_dict(model.network.state_dict())
    side = (plan.net_window,) * 3
    values = torch.randn(1, 4, *side, generator=torch.Generator().manual_seed(plan.seed))
    found: dict[str, torch.Tensor] = {}

    def forward(name: str, network: torch.nn.Module) -> None:
        with torch.inference_mode():
            found[name] = network(values)

    both = (partial(forward, "ours", model.network), partial(forward, "eager", eager))
    rounds = [[_seconds(one) for one in both] for _ in range(_SWIN_ROUNDS)]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone, theirs_alone = (_cpu_seconds(one) for one in both)
    torch.set_num_threads(threads)
    return {
        "swinunetr_net_vs_eager": round(theirs / ours, 2),
        "swinunetr_s": _rounded(ours=ours, eager=theirs),
        "swinunetr_one_thread_vs_eager": round(theirs_alone / alone, 2),
        "swinunetr_one_thread_cpu_s": _rounded(ours=alone, eager=theirs_alone),
        "swinunetr_largest_difference": float((found["ours"] - found["eager"]).abs().max()),
    }


def seg_file(scene: InferScene) -> Report:
    """CPU seconds and bytes of a SEG of three segments; naive: every frame."""
    plan, folder = scene.plan, scene.new_folder()
    model = random_model(BRAIN, folder / "seg-models")
    study = BreastSize("black", instances=plan.brain[0], matrix=plan.brain[1:], seed=plan.seed)
    folders = write_series(study, model.profile.roles, folder / "seg-study")
    inputs = [read_series(list(path.iterdir())) for path in folders.values()]
    origin = SegOrigin(
        job_key="bench",
        created_at=datetime(2026, 3, 2, tzinfo=UTC),
        profile=model.profile,
        model_sha256=model.model_sha256,
        software_version="bench",
    )
    warm_up_seg_writer()
    usual = _seg_both_ways(tumour_of(plan.brain, LESION, seed=plan.seed), inputs, origin, folder)
    large = _seg_both_ways(tumour(plan.brain, seed=plan.seed), inputs, origin, folder)
    return {
        "seg_write_vs_naive_cpu": usual["write_vs_naive_cpu"],
        "seg_size_vs_naive": usual["size_vs_naive"],
        "seg": usual,
        "seg_large": large,
    }


def _seg_both_ways(
    masks: Sequence[Mask], inputs: Sequence[SeriesVolume], origin: SegOrigin, folder: Path
) -> Report:
    ours_path, naive_path = folder / "ours.dcm", folder / "naive.dcm"

    def ours() -> None:
        write_dataset(build_seg(masks, inputs[0], inputs, origin), ours_path)

    def naive() -> None:
        naive_seg(list(inputs[0].headers), np.stack(masks, axis=-1)).save_as(naive_path)

    rounds = [(_cpu_seconds(ours), _cpu_seconds(naive)) for _ in range(_SEG_ROUNDS)]
    mine, theirs = (min(column) for column in zip(*rounds, strict=True))
    sizes = ours_path.stat().st_size, naive_path.stat().st_size
    return {
        "write_vs_naive_cpu": round(theirs / mine, 2),
        "size_vs_naive": round(sizes[1] / sizes[0], 2),
        "cpu_s": _rounded(ours=mine, naive=theirs),
        "bytes": sizes,
        "frames": sum(int(mask.any(axis=(1, 2)).sum()) for mask in masks),
        "lesion_voxels": int(masks[0].sum()),
    }


def breast_job(scene: InferScene) -> Report:
    """From inventory to verified SEG in a real Orthanc, warm; and the plain way."""
    plan, folder = scene.plan, scene.new_folder()
    random_model(BREAST, folder / "job-models")
    profile_folder = folder / "job-models" / BREAST
    study = BreastSize("black", instances=plan.breast[0], matrix=plan.breast[1:], seed=plan.seed)
    with OrthancServer() as server:
        stored = store_study(server, study)
        ours = _our_job(server, stored.series_ids, profile_folder, folder / "home")
        plain, steps = _plain_job(server, stored.series_ids, profile_folder, folder / "plain")
    return {
        "swinunetr_job_vs_plain": round(plain / sum(ours.values()), 2),
        "breast_job": {"ours_s": _rounded(**ours), "plain_s": _rounded(whole=plain, **steps)},
    }


def _our_job(
    server: OrthancServer, series_ids: Sequence[str], profile_folder: Path, home: Path
) -> dict[str, float]:
    settings = OrthancSettings(
        url=server.url, user=server.user, password=SecretStr(server.password)
    )
    profile = load_profile(profile_folder)
    worker, client = (
        WorkerProcess(hang_seconds=_HANG_S, most_bytes=_MOST_BYTES),
        OrthancClient(settings),
    )
    with closing(worker), closing(client):
        loaded = worker.load(
            LoadRequest(folder=profile_folder, weights=None, sha256=None, device="cpu")
        )
        start = time.perf_counter()
        manifest = manifest_by_hand(client, profile, series_ids)
        folders, outbox = WorkFolders(home), Outbox(home)
        case = JobContext(
            manifest=manifest,
            profile=profile,
            model_sha256=loaded.model_sha256,
            agent="bench",
            claim=None,
            folder=folders.new(manifest.job_id, 1),
            job_key=manifest.job_id,
        )
        fetch(case, client, progress=lambda *_: None, stop=threading.Event())
        entry = infer(case, worker, outbox, folders, progress=lambda *_: None)
        made = time.perf_counter()
        Uploader(client, outbox, worker, queue=None, now=utc_now).deliver(entry)
        stages = entry.draft.provenance.stage_seconds
        delivered = time.perf_counter() - made
        return {**stages, "deliver": delivered, "rest": made - start - sum(stages.values())}


def _plain_job(
    server: OrthancServer, series_ids: Sequence[str], profile_folder: Path, work: Path
) -> tuple[float, dict[str, float]]:
    module = "infra.benches.infer.plain"
    command = [sys.executable, "-m", module, str(profile_folder), str(work), server.url]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, *series_ids],
        cwd=repository_root(),
        env={**os.environ, "BENCH_USER": server.user, "BENCH_PASSWORD": server.password},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=_HANG_S,
    )
    return time.perf_counter() - start, json.loads(done.stdout)


def _seconds(action: Callable[[], object]) -> float:
    return timed(action)[0]


def _cpu_seconds(action: Callable[[], object]) -> float:
    return timed(action, time.process_time)[0]


def _rounded(**seconds: float) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}
