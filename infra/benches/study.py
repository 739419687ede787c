"""Synthetic studies of four MR series, and their storing in Orthanc; of two kinds.

``noisy``   every pixel is 16 random bits: nothing compresses it
``black``   an ellipsoid of noisy tissue in a black volume, as a skull-stripped brain: a ZIP
            archive has about an eighth of its size
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import chain

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from infra.benches.transfer.tasks import Found
from infra.servers.orthanc import OrthancServer

Pixels = npt.NDArray[np.uint16]

SERIES = 4
MATRIX = (240, 240)

TISSUE, TISSUE_NOISE = 600.0, 100.0
"""Mean and standard deviation of pixel values."""

TISSUE_REACH = 0.675
"""Half axes of the ellipsoid as parts of half the volume's: it has 16 % of the voxels."""

_STORE_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A study in Orthanc, and what everybody must find in it."""

    series_ids: tuple[str, ...]
    """Orthanc's."""
    study_uid: str
    series_uids: tuple[str, ...]
    instances: dict[str, Found]
    """By SOP Instance UID."""

    @property
    def size_bytes(self) -> int:
        """Sum of its files."""
        return sum(found.size or 0 for found in self.instances.values())


def store_study(server: OrthancServer, study: SyntheticStudy) -> StoredStudy:
    """Store a study."""
    with server.session() as session:

        def store(image: Dataset) -> tuple[str, str, Found]:
            buffer = BytesIO()
            image.save_as(buffer, enforce_file_format=True)
            data = buffer.getvalue()
            answer = session.post(f"{server.url}/instances", data)
            answer.raise_for_status()
            found = Found(len(data), hashlib.sha256(image.PixelData).hexdigest())
            return answer.json()["ParentSeries"], str(image.SOPInstanceUID), found

        with ThreadPoolExecutor(_STORE_AT_ONCE) as pool:
            stored = list(pool.map(store, chain(*map(study.images, range(SERIES)))))
    return StoredStudy(
        series_ids=tuple(dict.fromkeys(series_id for series_id, _, _ in stored)),
        study_uid=study.uid("study"),
        series_uids=tuple(study.uid("series", number) for number in range(SERIES)),
        instances={uid: found for _, uid, found in stored},
    )


class SyntheticStudy:
    """The images of a study; its UIDs are a function of kind, size and seed.

    Parameters
    ----------
    kind:
        ``noisy`` or ``black``.
    instances:
        In each series.
    matrix:
        Rows and columns.
    """

    def __init__(
        self, kind: str, *, instances: int, seed: int, matrix: tuple[int, int] = MATRIX
    ) -> None:
        self._what = (kind, instances, matrix, seed)
        self._instances = instances
        self._matrix = matrix
        self._is_noisy = kind == "noisy"

    def uid(self, *what: str | int) -> UID:
        """The UID of something in it."""
        digest = hashlib.sha256(repr((self._what, what)).encode()).digest()
        return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")

    def images(self, series: int) -> Iterator[Dataset]:
        """Of one series, from 0 on; each ready to be written."""
        for position in range(self._instances):
            yield self._image(series, position)

    def _image(self, series: int, position: int) -> Dataset:
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = MRImageStorage
        image.SOPInstanceUID = self.uid("image", series, position)
        image.StudyInstanceUID = self.uid("study")
        image.SeriesInstanceUID = self.uid("series", series)
        image.FrameOfReferenceUID = self.uid("frame of reference")
        image.Modality = "MR"
        image.PatientID, image.PatientName = "BENCH", "Bench^Study"
        image.SeriesNumber, image.InstanceNumber = series + 1, position + 1
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [0, 0, position]
        image.PixelSpacing, image.SliceThickness = [1, 1], 1
        image.Rows, image.Columns = self._matrix
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 0
        image.PixelData = self._pixels(series, position).astype("<u2").tobytes()
        return image

    def _pixels(self, series: int, position: int) -> Pixels:
        rng = np.random.default_rng([self._what[-1], series, position])
        if self._is_noisy:
            return rng.integers(0, 1 << 16, self._matrix, dtype=np.uint16)
        tissue = rng.normal(TISSUE, TISSUE_NOISE, self._matrix).clip(1)
        return np.where(self._ellipse(position), tissue, 0).astype(np.uint16)

    def _ellipse(self, position: int) -> npt.NDArray[np.bool_]:
        z = (2 * position + 1) / self._instances - 1
        y = np.linspace(-1, 1, self._matrix[0])[:, None]
        x = np.linspace(-1, 1, self._matrix[1])
        inside: npt.NDArray[np.bool_] = x**2 + y**2 + z**2 <= TISSUE_REACH**2
        return inside
