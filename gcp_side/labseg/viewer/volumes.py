"""The voxels of a series for the viewer: a slice at once, the whole in the background.

Every call asks Orthanc once which instances the series has now (one request); what was decoded
before under the same instances is not fetched again. Voxels are kept deflated, in this process,
up to :data:`CACHE_BYTES`.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gcp_side.labseg.dicom.pixels import SliceImage
from gcp_side.labseg.errors import SeriesNotShownError
from gcp_side.labseg.orthanc.client import Orthanc, SlicePlace
from gcp_side.labseg.viewer.fetched_images import read_alone, read_image, read_images
from gcp_side.labseg.viewer.geometry import SeriesGeometry, make_geometry
from gcp_side.labseg.viewer.shown import places_of, shown_volume
from gcp_side.labseg.viewer.single_flight import KeyedLocks
from gcp_side.labseg.viewer.slices import (
    DisplayedSlices,
    check_index,
    displayed_order,
    refused_as,
)

CACHE_BYTES = 256 * 1024 * 1024
"""Of deflated volumes: some twenty breast series."""

MOST_GEOMETRIES = 256

LOADING_BYTES = 320 * 1024 * 1024
"""Of the volumes that are put together at the same time, in a process: two breast series. Each is
in memory as a whole; one that is larger is put together alone."""

MIXED_SCALES = np.dtype("<f4")
"""Of a volume whose slices have not all one scale: no 16 bits hold their values exactly."""

GZIP_LEVEL = 1
"""Half the size in a third of a second; higher levels gain little on noise."""


Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class DeflatedVoxels:
    """Little-endian voxels, C order, and what they are."""

    gzipped: bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tag: str
    """Changes with the voxels: for an ETag."""


def load_geometry(series_id: str, orthanc: Orthanc) -> SeriesGeometry:
    """Where the series, or one of its volumes (``VolumeId``), lies.

    Raises
    ------
    QueryRefusedError
        ``orthanc-id``
    SeriesNotShownError
        ``no-such-part``, and the codes of ``geometry`` and ``pixels``.
    SeriesRefusedError
        ``series-missing``: Orthanc has no such series.
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        From Orthanc.
    """
    return _geometry(series_id, orthanc)[0]


def load_slice(series_id: str, index: int, orthanc: Orthanc) -> DeflatedVoxels:
    """One slice by its displayed index; raises as :func:`load_geometry`, or ``no-such-slice``."""
    geometry, tag = _geometry(series_id, orthanc)
    check_index(index, geometry.shape[0])
    key = f"{tag}-{index}"
    found = _volumes.get(key)
    if found is None:
        image = read_alone(geometry.slices.instances[index], orthanc)
        if image is not None:
            voxels = in_series_units(image, geometry)
        else:
            # All its frames come in one file: the next slice is asked for soon.
            volume = _volume(geometry, tag, orthanc)
            voxels = inflated_slice(volume.gzipped, index, volume.shape[1:], volume.dtype)
        found = _volumes.keep(key, _deflated(voxels, key))
    return found


def load_volume(series_id: str, orthanc: Orthanc) -> DeflatedVoxels:
    """Load all slices in displayed order; raises as :func:`load_geometry`."""
    return _volume(*_geometry(series_id, orthanc), orthanc)


def _volume(geometry: SeriesGeometry, tag: str, orthanc: Orthanc) -> DeflatedVoxels:
    found = _volumes.get(tag)
    if found is not None:
        return found
    size = math.prod(geometry.shape) * geometry.dtype.itemsize
    with _locks.of(tag), _loading.taken(size):
        # Another request may have brought it meanwhile.
        found = _volumes.get(tag)
        if found is None:
            found = _volumes.keep(tag, _deflated(_read_volume(geometry, orthanc), tag))
    return found


def in_series_units(image: SliceImage, geometry: SeriesGeometry) -> NDArray[Any]:
    """The voxels of a slice, so that the series' own slope and intercept hold for them.

    Some scanners scale every slice separately (PS3.3 C.11.1.1.2), or write some slices signed and
    others not.

    Returns
    -------
    [rows, columns] as stored, of the series' type; float32 where the slice has another scale or
    another type than the series.

    Raises
    ------
    SeriesNotShownError
        ``mixed-matrix``: the slice is of another size than the series.
    """
    if image.voxels.shape != geometry.shape[1:]:
        raise SeriesNotShownError("The slices of the series differ in size.", code="mixed-matrix")
    same_scale = (image.slope, image.intercept) == (geometry.slope, geometry.intercept)
    if same_scale and image.voxels.dtype == geometry.dtype:
        return image.voxels
    meant = image.voxels * image.slope + image.intercept
    return ((meant - geometry.intercept) / geometry.slope).astype(MIXED_SCALES)


def _read_volume(geometry: SeriesGeometry, orthanc: Orthanc) -> NDArray[Any]:
    """[slices, rows, columns] of the series' type, or float32: see :func:`in_series_units`."""
    volume: NDArray[Any] = np.empty(geometry.shape, geometry.dtype)
    index_of = {
        (place.orthanc_id, place.frame or 1): index
        for index, place in enumerate(geometry.slices.instances)
    }
    for name, image in read_images(geometry.slices.instances, orthanc):
        _check_spacing(image, geometry)
        if name not in index_of and geometry.slices.is_part:
            continue
        if name not in index_of:
            raise SeriesNotShownError(
                "An instance has more frames than Orthanc knew.", code="unreadable-instance"
            )
        voxels = in_series_units(image, geometry)
        if voxels.dtype == MIXED_SCALES:
            volume = volume.astype(MIXED_SCALES, copy=False)
        volume[index_of[name]] = voxels
    return volume


def _check_spacing(image: SliceImage, geometry: SeriesGeometry) -> None:
    columns, rows = np.linalg.norm(geometry.affine[:3, :2], axis=0)
    spacing = image.pixel_spacing or (0.0, 0.0)
    if not np.allclose(spacing, (rows, columns), rtol=1e-3):
        raise SeriesNotShownError(
            "The slices of the series differ in Pixel Spacing.", code="mixed-spacing"
        )


def _geometry(series_id: str, orthanc: Orthanc) -> tuple[SeriesGeometry, str]:
    volume = shown_volume(series_id)
    places = places_of(volume, orthanc)
    tag = _tag(str(volume), places)
    geometry = _geometries.get(tag)
    if geometry is None:
        with refused_as(SeriesNotShownError):
            slices = replace(displayed_order(places), is_part=volume.part is not None)
        geometry = _geometries.keep(tag, _placed(slices, orthanc))
    return geometry, tag


def _placed(slices: DisplayedSlices, orthanc: Orthanc) -> SeriesGeometry:
    middle = slices.instances[len(slices.instances) // 2]
    return make_geometry(slices, read_image(middle, orthanc))


def _tag(series_id: str, places: Sequence[SlicePlace]) -> str:
    """Another one as soon as an instance came, went or was replaced."""
    digest = hashlib.sha256(series_id.encode())
    for item in sorted(places, key=lambda one: one.orthanc_id):
        digest.update(f"|{item.orthanc_id}:{item.file_uuid}".encode())
    return digest.hexdigest()[:32]


def _deflated(voxels: NDArray[Any], tag: str) -> DeflatedVoxels:
    data = np.ascontiguousarray(voxels)
    return DeflatedVoxels(
        gzipped=gzip.compress(data.data, GZIP_LEVEL, mtime=0),
        shape=data.shape,
        dtype=data.dtype,
        tag=tag,
    )


def inflated_slice(
    gzipped: bytes, index: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """[rows, columns] of one slice of a volume, which is not inflated as a whole."""
    size = math.prod(shape) * dtype.itemsize
    with gzip.open(BytesIO(gzipped)) as file:
        file.seek(index * size)
        return np.frombuffer(file.read(size), dtype).reshape(shape)


class MemoryCache(Generic[Kept]):
    """Values up to a size together, the least lately used forgotten first; thread-safe."""

    def __init__(self, most: int, size: Callable[[Kept], int]) -> None:
        self._most, self._size_of = most, size
        self._size = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Kept | None:
        """Cached value under ``key``."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def keep(self, key: str, value: Kept) -> Kept:
        """Keep and return ``value``; more than fits at all is only returned."""
        with self._lock:
            if key in self._kept:
                return value
            self._kept[key] = value
            self._size += self._size_of(value)
            while self._size > self._most:
                _, dropped = self._kept.popitem(last=False)
                self._size -= self._size_of(dropped)
        return value


class MemoryBudget:
    """Bytes that threads share; who needs more than is left waits. Thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes within the block; more than there are at all are held alone."""
        needed = min(size, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + needed <= self._most)
            self._taken += needed
        try:
            yield
        finally:
            with self._changed:
                self._taken -= needed
                self._changed.notify_all()


_volumes = MemoryCache[DeflatedVoxels](CACHE_BYTES, lambda voxels: len(voxels.gzipped))
_geometries = MemoryCache[SeriesGeometry](MOST_GEOMETRIES, lambda _: 1)
_locks = KeyedLocks()
_loading = MemoryBudget(LOADING_BYTES)
