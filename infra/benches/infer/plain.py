"""A whole breast job the plain way: a new process, one request an image, MONAI, all frames.

``python -m infra.benches.infer.plain PROFILE_FOLDER WORK URL SERIES…``, user and password
in the environment. The checkpoint is loaded for the job. Prints the seconds of its steps as JSON.
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from io import BytesIO  # noqa: E402
from pathlib import Path  # noqa: E402

if __name__ == "__main__":
    # The tests' packages bring it, and MONAI would spend seconds on importing it: a plain server's
    # venv has none, and ours leaves it out too.
    sys.modules["transformers"] = None  # type: ignore[assignment]

import highdicom as hd  # noqa: E402
import numpy as np  # noqa: E402
import pydicom  # noqa: E402
import requests  # noqa: E402
import safetensors.torch  # noqa: E402
from pydicom.sr.codedict import codes  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402

from infra.benches.infer.chain import run_chain  # noqa: E402
from lab_side.models.networks import build_network  # noqa: E402
from segrelay.profiles import load_profile  # noqa: E402


def main(profile_folder: Path, work: Path, url: str, series: list[str]) -> dict[str, float]:
    """Seconds by step."""
    imports_s = time.perf_counter() - BEGAN
    return {"imports": imports_s, **run_job(profile_folder, work, url, series)}


def run_job(profile_folder: Path, work: Path, url: str, series: list[str]) -> dict[str, float]:
    """From the first request to the SEG in Orthanc; seconds by step, without the imports."""
    seconds: dict[str, float] = {}
    auth = (os.environ["BENCH_USER"], os.environ["BENCH_PASSWORD"])
    profile = load_profile(profile_folder)
    mark = time.perf_counter()
    folders = {
        role: _download(url, auth, series_id, work / role)
        for role, series_id in zip(profile.roles, series, strict=True)
    }
    seconds["download"], mark = time.perf_counter() - mark, time.perf_counter()
    network = build_network(profile)
    weights = profile_folder / str(profile.weights.file)
    network.load_state_dict(safetensors.torch.load_file(weights))
    seconds["load"], mark = time.perf_counter() - mark, time.perf_counter()
    settings = profile.inference
    result = run_chain(folders, profile, network, window=settings.window, overlap=settings.overlap)
    seconds |= {"prepare": result.prepare_s, "network": result.network_s}
    seconds["restore"], mark = result.restore_s, time.perf_counter()
    reference = sorted(folders[profile.reference_role].iterdir())
    seg = seg_bytes(reference, result.mask[0].numpy(), is_whole=True)
    seconds["seg"], mark = time.perf_counter() - mark, time.perf_counter()
    requests.post(f"{url}/instances", data=seg, auth=auth, timeout=60).raise_for_status()
    seconds["upload"] = time.perf_counter() - mark
    return seconds


def _download(url: str, auth: tuple[str, str], series_id: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    answer = requests.get(f"{url}/series/{series_id}", auth=auth, timeout=60)
    for instance in answer.json()["Instances"]:
        file = requests.get(f"{url}/instances/{instance}/file", auth=auth, timeout=60)
        (folder / f"{instance}.dcm").write_bytes(file.content)
    return folder


def seg_bytes(files: list[Path], mask: np.ndarray, *, is_whole: bool) -> bytes:
    """The SEG of a mask, [columns, rows, slices], on the images of ``files``, by highdicom."""
    sources = sorted(map(pydicom.dcmread, files), key=lambda one: one.ImagePositionPatient[2])
    buffer = BytesIO()
    masks = mask.transpose(2, 1, 0)[..., None]
    naive_seg(sources, masks, is_whole=is_whole).save_as(buffer)
    return buffer.getvalue()


def naive_seg(
    sources: Sequence[pydicom.Dataset], masks: np.ndarray, *, is_whole: bool = True
) -> hd.seg.Segmentation:
    """highdicom with every frame, or else without the empty ones, which is its default; masks
    [slices, rows, columns, segments]."""
    return hd.seg.Segmentation(
        source_images=list(sources),
        pixel_array=masks.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=number + 1,
                segment_label=f"Tumor {number + 1}",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Neoplasm,
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for number in range(masks.shape[-1])
        ],
        series_instance_uid=generate_uid(),
        series_number=1001,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="plain",
        manufacturer_model_name="plain",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=not is_whole,
    )


if __name__ == "__main__":
    print(
        json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])),
        flush=True,
    )
