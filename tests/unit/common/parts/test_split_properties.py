"""Whatever the images say, a series is split rightly, refused by name, or its order is doubted."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrelay.errors import SeriesRefusedError
from segrelay.parts import PartDoubt, PartImage, PartKey, Split, split_series
from segrelay.parts.keys import ATTRIBUTES, PHASE_KEYS

SLICES, STEP_MM = 6, 2.0
START = datetime(2025, 3, 11, 23, 58)
SECONDS = 75.0
"""From phase to phase."""

SILENT = ("absent", "constant", "by-slice", "on-some")
RIGHT = ("right", "jitter")
WAYS = (*SILENT, *RIGHT, "first-apart")
"""What a key may be; ``first-apart``: the first phase has one value, all others another."""

NAMED = {
    "parts-unordered",
    "parts-contradict",
    "part-duplicate",
    "part-key-missing",
    "part-incomplete",
    "parts-dates",
    "parts-shifted",
    "parts-derived",
}


def count_of(way: str, phase: int, place: int, jitter: float) -> float | None:
    """The value of a key in steps of phases; None: absent."""
    values: Mapping[str, float | None] = {
        "absent": None,
        "constant": 0.0,
        "by-slice": 0.01 * place,
        "on-some": float(phase) if place % 2 else None,
        "right": float(phase),
        "jitter": phase + jitter,
        "first-apart": float(phase > 0),
    }
    return values[way]


def value_of(key: PartKey, steps: float) -> Any:
    if key in (PartKey.TEMPORAL_POSITION, PartKey.ACQUISITION_NUMBER):
        return 1 + int(steps)
    if key is PartKey.TRIGGER_TIME:
        return 1000 * SECONDS * steps
    return START + timedelta(seconds=SECONDS * steps)


def made(
    ways: Mapping[PartKey, str], order: Sequence[int], *, seed: int, lying: PartKey | None = None
) -> list[PartImage]:
    """The images of as many phases as ``order`` has, shuffled; their instance numbers are right.

    Parameters
    ----------
    order:
        Of a lying key: the phase that it gives for each phase.
    """
    noise = random.Random(seed)
    images = []
    for phase in range(len(order)):
        for place in range(SLICES):
            found: dict[str, Any] = {}
            for key, way in ways.items():
                given_as = order[phase] if key is lying else phase
                steps = count_of(way, given_as, place, noise.uniform(-0.05, 0.05))
                if steps is not None:
                    found[ATTRIBUTES[key]] = value_of(key, steps)
            offset = noise.uniform(-0.09, 0.09)
            images.append(
                PartImage(
                    instance=f"{phase}/{place}",
                    position=(-10.0, 5.0 + offset, STEP_MM * place + offset),
                    orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
                    matrix=(8, 8),
                    spacing=(0.7, 0.7),
                    image_type=("ORIGINAL", "PRIMARY", "M"),
                    number=1 + phase * SLICES + place,
                    **found,
                )
            )
    noise.shuffle(images)
    return images


def split_or_none(images: Sequence[PartImage]) -> Split | None:
    """None where the series is refused by a name of its own."""
    try:
        return split_series(images)
    except SeriesRefusedError as error:
        code = error.code
    assert code in NAMED
    return None


def is_right(split: Split, phases: int) -> bool:
    found = [[image.instance for image in part.images] for part in split.parts]
    return found == [[f"{phase}/{place}" for place in range(SLICES)] for phase in range(phases)]


SERIES = {
    "ways": st.fixed_dictionaries({key: st.sampled_from(WAYS) for key in PHASE_KEYS}),
    "phases": st.integers(2, 6),
    "seed": st.integers(0, 10**6),
}


@given(**SERIES)
def test_keys_of_any_kind_give_the_right_phases_or_a_refusal(
    ways: dict[PartKey, str], phases: int, seed: int
) -> None:
    split = split_or_none(made(ways, range(phases), seed=seed))
    assert split is None or is_right(split, phases)


@given(
    **SERIES,
    trusted=st.sampled_from(PHASE_KEYS[:3]),
    rest=st.fixed_dictionaries({key: st.sampled_from(SILENT) for key in PHASE_KEYS}),
)
def test_a_trusted_key_is_enough_where_the_others_only_fail_to_speak(
    ways: dict[PartKey, str], phases: int, seed: int, trusted: PartKey, rest: dict[PartKey, str]
) -> None:
    del ways
    split = split_or_none(made({**rest, trusted: "right"}, range(phases), seed=seed))
    assert split is not None
    assert split.key is trusted
    assert is_right(split, phases)


@given(**SERIES, lying=st.sampled_from(PHASE_KEYS), data=st.data())
def test_a_key_that_lies_is_never_believed_without_a_doubt(
    ways: dict[PartKey, str], phases: int, seed: int, lying: PartKey, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(phases)))
    ways = {**ways, lying: "right"}
    split = split_or_none(made(ways, order, seed=seed, lying=lying))
    assert split is None or is_right(split, phases) or split.doubt is PartDoubt.OTHER_ORDER


@given(
    key=st.sampled_from(PHASE_KEYS),
    phases=st.integers(2, 6),
    seed=st.integers(0, 10**6),
    lost=st.integers(0, 5),
)
def test_a_lost_slice_is_never_made_up_for(key: PartKey, phases: int, seed: int, lost: int) -> None:
    images = made({key: "jitter"}, range(phases), seed=seed)
    images = [one for one in images if one.instance != f"{lost % phases}/{lost}"]
    assert split_or_none(images) is None


def test_without_instance_numbers_a_single_key_is_doubted() -> None:
    images = [replace(one, number=None) for one in made({PHASE_KEYS[0]: "right"}, range(3), seed=0)]
    assert split_series(images).doubt is PartDoubt.ONE_KEY
    assert split_series([replace(one, positions_declared=3) for one in images]).doubt is None
    both = made({PHASE_KEYS[0]: "right", PHASE_KEYS[2]: "right"}, range(3), seed=0)
    assert split_series([replace(one, number=None) for one in both]).doubt is None


def test_a_volume_of_values_below_zero_beside_others_is_a_subtraction() -> None:
    images = made({PHASE_KEYS[0]: "right"}, range(3), seed=0)
    below = [replace(one, lowest=-100.0 * one.instance.startswith("1/")) for one in images]
    with pytest.raises(SeriesRefusedError) as caught:
        split_series(below)
    assert caught.value.code == "parts-derived"
    assert is_right(split_series([replace(one, lowest=-100.0) for one in images]), 3)
