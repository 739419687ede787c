"""Which images of a series are of the parts that a job names: these alone are fetched."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lab_side.download.download import DownloadedSeries
from lab_side.worker.protocol import SeriesFiles
from segrelay.errors import SeriesRefusedError
from segrelay.manifest import SeriesInput, SeriesPart
from segrelay.orthanc import InstanceInfo, OrthancClient
from segrelay.parts import PartImage, Split, split_series


class WantedParts:
    """The images of a job's inputs, series by series; thread-safe."""

    def __init__(self, client: OrthancClient, inputs: Sequence[SeriesInput]) -> None:
        self._client = client
        self._inputs = inputs
        self._images: dict[str, tuple[PartImage, ...]] = {}
        self._lock = threading.Lock()

    def choose(self, series_id: str, found: list[InstanceInfo]) -> list[InstanceInfo]:
        """The instances that hold images of the wanted parts; all of a series that is one.

        Raises
        ------
        SeriesRefusedError
            ``parts-changed``: the series has other volumes than the job names; and as
            :func:`split_series`.
        And as the client.
        """
        inputs = [item for item in self._inputs if item.orthanc_id == series_id]
        parts = {item.role: item.part for item in inputs if item.part is not None}
        if not parts:
            return found
        here = [item.orthanc_id for item in found]
        split = split_series(self._client.series_images(series_id, here))
        chosen = {role: _images_of(part, split) for role, part in parts.items()}
        with self._lock:
            self._images |= chosen
        wanted = {image.instance for images in chosen.values() for image in images}
        return [item for item in found if item.orthanc_id in wanted]

    def first_instance(self, role: str) -> str | None:
        """Orthanc's id of an instance with an image of a part; None where it is a whole series."""
        images = self._images.get(role)
        return images[0].instance if images else None

    def files(self, item: SeriesInput, downloaded: DownloadedSeries) -> SeriesFiles:
        """What the worker reads of a downloaded series for one input."""
        images = self._images.get(item.role)
        if images is None or item.part is None:
            return SeriesFiles(
                files=downloaded.files, sop_instance_uids=downloaded.sop_instance_uids
            )
        uids = {one.orthanc_id: one.sop_instance_uid for one in downloaded.instances}
        files = {
            one.orthanc_id: file
            for one, file in zip(downloaded.instances, downloaded.files, strict=True)
        }
        frames: dict[str, list[int]] = {}
        for image in images:
            if image.frame is not None:
                frames.setdefault(uids[image.instance], []).append(image.frame)
        instances = dict.fromkeys(image.instance for image in images)
        return SeriesFiles(
            files=tuple(files[one] for one in instances),
            sop_instance_uids=frozenset(uids[one] for one in instances),
            frames={uid: tuple(numbers) for uid, numbers in frames.items()},
            part=item.part.name,
        )


def _images_of(part: SeriesPart, split: Split) -> tuple[PartImage, ...]:
    if (split.key, len(split.parts)) != (part.key, part.count):
        raise _changed(f"{part.count} volumes by {part.key}", split)
    images = split.parts[part.index].images
    if len(images) != part.expected_images:
        raise _changed(f"{part.expected_images} images in each volume", split)
    return images


def _changed(submitted: str, split: Split) -> SeriesRefusedError:
    count, size = len(split.parts), max((len(part.images) for part in split.parts), default=0)
    return SeriesRefusedError(
        f"The series had {submitted} when it was submitted; now it has {count} of {size} images"
        + (f" by {split.key}." if split.key else "."),
        code="parts-changed",
        remedy="Wait until the scanner has sent everything, then submit again.",
    )
