"""The stacks of a series: images of one geometry, and those that are no part of any volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter
from statistics import median
from typing import Literal

from segrelay.dicom.acquisition import dixon_image, is_computed
from segrelay.dicom.orientation import normal_of, not_parallel
from segrelay.dicom.rounding import JITTER_MM, SAME_COSINE
from segrelay.errors import SeriesRefusedError
from segrelay.parts.image import PartImage

LeftOutKind = Literal[
    "localizer", "computed", "complex", "water", "fat", "in-phase", "opposed-phase"
]
"""What images are that are left out: a localizer; a subtraction, projection or map; a phase, real
or imaginary image beside magnitudes; an image of a Dixon acquisition beside those that are used."""

SAME_PLACE_MM = 2 * JITTER_MM + 1e-6
"""Images that are no farther apart may be at one place, each off it by a rounding. The last digit
of a binary number aside."""

SAME_SPACING_MM = 1e-3

FEWEST_SLICES = 3
"""Of a stack beside another one; fewer are a localizer."""

CLOSE = 0.75
"""Of the usual distance of slices: what is nearer is another slice that was shifted."""

SLAB_GAP_STEPS = 5.0
SLAB_GAP_MM = 15.0
"""Slices that are farther apart than both are of two slabs, as of both breasts."""

_DIXON_ORDER = ("water", None, "in-phase", "opposed-phase", "fat")
"""Which images of a Dixon acquisition are used where there are several."""

_COMPLEX = frozenset({"R", "I", "REAL", "IMAGINARY"})
_COMPLEX_VALUE = 2
"""Place of it in the Image Type (C.8.3.1.1.1)."""


@dataclass(frozen=True)
class Place:
    """Images at one place of a stack."""

    at_mm: float
    """Along the slice normal."""
    images: tuple[PartImage, ...]


@dataclass(frozen=True)
class Stack:
    """Images of one orientation, matrix and spacing; places by rising distance along the normal."""

    places: tuple[Place, ...]

    @property
    def images(self) -> list[PartImage]:
        """All of its images."""
        return [image for place in self.places for image in place.images]

    @property
    def is_even(self) -> bool:
        """Whether the places follow each other at one distance, rounding aside."""
        gaps = [after.at_mm - before.at_mm for before, after in pairwise(self.places)]
        return not gaps or max(gaps) - min(gaps) <= 2 * JITTER_MM

    @property
    def has_close_places(self) -> bool:
        """Whether two places are nearer to each other than the usual distance, rounding aside."""
        gaps = [after.at_mm - before.at_mm for before, after in pairwise(self.places)]
        return bool(gaps) and min(gaps) < CLOSE * median(gaps)

    @property
    def is_aligned(self) -> bool:
        """Whether the images of each place lie on one another."""
        return all(
            are_near(place.images[0].position or (), image.position or (), SAME_PLACE_MM)
            for place in self.places
            for image in place.images
        )


def without_left_out(
    images: Sequence[PartImage],
) -> tuple[list[PartImage], Counter[LeftOutKind]]:
    """The images that may be of volumes, and how many of each kind are not."""
    left_out: Counter[LeftOutKind] = Counter()
    kinds = [_kind(image) for image in images]
    plain = [image for image, kind in zip(images, kinds, strict=True) if kind is None]
    if plain and len(plain) < len(images):
        left_out.update(kind for kind in kinds if kind is not None)
    else:
        plain = list(images)
    dixon = {dixon_image(image.image_type) for image in plain}
    used = next(kind for kind in _DIXON_ORDER if kind in dixon) if plain else None
    for image in plain:
        kind = dixon_image(image.image_type)
        # What names no image of the acquisition may be a phase of the used ones.
        if kind not in (used, None):
            left_out[kind] += 1
    return [i for i in plain if dixon_image(i.image_type) in (used, None)], left_out


def stacks_of(images: Iterable[PartImage]) -> tuple[list[Stack], Counter[LeftOutKind]]:
    """The stacks in the order of their places, and how many images beside them are localizers.

    Raises
    ------
    SeriesRefusedError
        ``no-position``: an image has no place in space. ``mixed-orientation``: there are several
        stacks, none of which has :data:`FEWEST_SLICES`.
    """
    stacks = [slab for group in _groups(images) for slab in _slabs(group)]
    stacks.sort(key=_along)
    large = [stack for stack in stacks if len(stack.places) >= FEWEST_SLICES]
    small = [stack for stack in stacks if stack not in large]
    if not large and len(stacks) > 1:
        raise not_parallel()
    if not large:
        return stacks, Counter()
    left_out: Counter[LeftOutKind] = Counter()
    left_out["localizer"] = sum(len(stack.images) for stack in small)
    return large, +left_out


def without_scouts(
    stacks: Sequence[Stack], left_out: Counter[LeftOutKind]
) -> tuple[list[Stack], Counter[LeftOutKind]]:
    """The stacks without those of a scout: turned, small, and of one image at a place, beside a
    stack of several phases."""
    dynamic = [stack for stack in stacks if any(len(place.images) > 1 for place in stack.places)]
    scouts = [
        stack
        for stack in stacks
        if dynamic
        and stack not in dynamic
        and all(len(stack.places) < len(other.places) / 2 for other in dynamic)
        and not any(_is_parallel(stack, other) for other in dynamic)
    ]
    left_out = Counter(left_out)
    left_out["localizer"] += sum(len(stack.images) for stack in scouts)
    return [stack for stack in stacks if stack not in scouts], +left_out


def _is_parallel(first: Stack, second: Stack) -> bool:
    one, other = first.images[0].orientation, second.images[0].orientation
    return are_near(one or (), other or (), SAME_COSINE)


def are_near(first: Sequence[float], second: Sequence[float], limit: float) -> bool:
    """Whether as many numbers differ by no more than a limit each."""
    return len(first) == len(second) and all(
        abs(one - other) <= limit for one, other in zip(first, second, strict=True)
    )


def _kind(image: PartImage) -> LeftOutKind | None:
    if "LOCALIZER" in image.image_type:
        return "localizer"
    if is_computed(image.image_type):
        return "computed"
    if _COMPLEX.intersection(image.image_type[_COMPLEX_VALUE : _COMPLEX_VALUE + 1]):
        return "complex"
    return None


def _groups(images: Iterable[PartImage]) -> list[list[PartImage]]:
    """Images of one geometry together, in an order that does not depend on that of the images."""
    groups: list[list[PartImage]] = []
    for image in sorted(images, key=_order):
        if image.position is None or image.orientation is None:
            raise SeriesRefusedError(
                "The series has images without a position in space.", code="no-position"
            )
        group = next((one for one in groups if _is_alike(one[0], image)), None)
        if group is None:
            groups.append([image])
        else:
            group.append(image)
    return _joined(groups)


def _joined(groups: Sequence[list[PartImage]]) -> list[list[PartImage]]:
    """Groups of other Stack IDs at the same places are phases of one stack, and become one."""
    joined: list[list[PartImage]] = []
    for group in groups:
        same = next((one for one in joined if _is_same_stack(one, group)), None)
        if same is None:
            joined.append(list(group))
        else:
            same += group
    return joined


def _is_same_stack(first: Sequence[PartImage], second: Sequence[PartImage]) -> bool:
    if first[0].stack == second[0].stack:
        return False
    if not _is_alike(first[0], replace(second[0], stack=first[0].stack)):
        return False
    places = [_places(first), _places([*first, *second]), _places(second)]
    return len({len(found) for found in places}) == 1


def _order(image: PartImage) -> tuple[object, ...]:
    return image.orientation or (), image.position or (), image.instance, image.frame or 0


def _along(stack: Stack) -> tuple[object, ...]:
    """Parallel stacks by rising distance along the normal, with Stack IDs or without."""
    orientation = stack.places[0].images[0].orientation or ()
    return tuple(round(cosine, 2) for cosine in orientation), stack.places[0].at_mm


def _is_alike(first: PartImage, second: PartImage) -> bool:
    return (
        (first.stack, first.matrix) == (second.stack, second.matrix)
        and are_near(first.orientation or (), second.orientation or (), SAME_COSINE)
        and are_near(first.spacing, second.spacing, SAME_SPACING_MM)
    )


def _slabs(group: Sequence[PartImage]) -> Iterator[Stack]:
    """The group as one stack, or as several where a gap parts them.

    Fewer than :data:`FEWEST_SLICES` beyond a gap are no slab and, alike as they are, no localizer
    either: slices between are missing, and the volume is refused as uneven where it is read.
    """
    places = _places(group)
    gaps = [after.at_mm - before.at_mm for before, after in pairwise(places)]
    limit = max(SLAB_GAP_MM, SLAB_GAP_STEPS * median(gaps)) if gaps else 0.0
    ends = [index for index, gap in enumerate(gaps, start=1) if gap > limit]
    bounds = list(pairwise([0, *ends, len(places)]))
    if any(end - start < FEWEST_SLICES for start, end in bounds):
        bounds = [(0, len(places))]
    for start, end in bounds:
        yield Stack(tuple(places[start:end]))


def _places(group: Sequence[PartImage]) -> list[Place]:
    normal = normal_of(group[0].orientation or ())
    placed = sorted(
        ((_dot(image.position or (), normal), image) for image in group), key=itemgetter(0)
    )
    places: list[list[tuple[float, PartImage]]] = []
    for at_mm, image in placed:
        if places and at_mm - places[-1][0][0] <= SAME_PLACE_MM:
            places[-1].append((at_mm, image))
        else:
            places.append([(at_mm, image)])
    return [Place(items[0][0], tuple(image for _, image in items)) for items in places]


def _dot(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(one * other for one, other in zip(first, second, strict=True))
