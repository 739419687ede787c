"""A series that holds several volumes is split into them, or refused with its own reason."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrelay.errors import SeriesRefusedError
from segrelay.parts import LeftOut, PartImage, PartKey, split_series

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
TURNED = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
START = datetime(2024, 3, 5, 10, 0)
SLICES, PHASES = 5, 4

Change = Callable[[PartImage, int, int], PartImage]
"""Takes an image, its phase and its place."""


def image(phase: int, place: int, change: Change | None = None) -> PartImage:
    """Axial, 2 mm apart, with nothing that tells phases apart."""
    made = PartImage(
        instance=f"{phase}-{place}",
        position=(-10.0, 5.0, 2.0 * place),
        orientation=AXIAL,
        matrix=(8, 8),
        spacing=(0.7, 0.7),
        image_type=("ORIGINAL", "PRIMARY", "M"),
    )
    return made if change is None else change(made, phase, place)


def series(change: Change | None = None, *, phases: int = PHASES) -> list[PartImage]:
    return [image(phase, place, change) for phase in range(phases) for place in range(SLICES)]


def temporal(made: PartImage, phase: int, _: int) -> PartImage:
    return replace(made, temporal_position=phase + 1)


def triggered(made: PartImage, phase: int, place: int) -> PartImage:
    """Philips: the times of one phase differ by some milliseconds."""
    return replace(made, trigger_ms=60_000.0 * phase + 7.0 * (place % 3))


def acquired(made: PartImage, phase: int, place: int) -> PartImage:
    return replace(made, acquired=START + timedelta(seconds=60 * phase + 0.2 * place))


def over_midnight(made: PartImage, phase: int, _: int) -> PartImage:
    """One date for all images, as of the study."""
    time = datetime(2024, 3, 5, 23, 58) + timedelta(minutes=phase)
    return replace(made, acquired=time.replace(day=5))


def content(made: PartImage, phase: int, place: int) -> PartImage:
    return replace(made, content=START + timedelta(seconds=30 * phase + place))


def numbered(made: PartImage, phase: int, _: int) -> PartImage:
    return replace(made, acquisition_number=10 + 3 * phase)


KEYS: dict[PartKey, Change] = {
    PartKey.TEMPORAL_POSITION: temporal,
    PartKey.TRIGGER_TIME: triggered,
    PartKey.ACQUISITION_TIME: acquired,
    PartKey.CONTENT_TIME: content,
    PartKey.ACQUISITION_NUMBER: numbered,
}


def sagittal(made: PartImage, _: int, place: int) -> PartImage:
    return replace(made, orientation=SAGITTAL, position=(3.0 * place, -20.0, 30.0))


def names(images: Sequence[PartImage], phases: int = PHASES) -> list[list[str]]:
    split = split_series(images)
    assert len(split.parts) == phases
    assert [part.index for part in split.parts] == list(range(phases))
    return [[one.instance for one in part.images] for part in split.parts]


RIGHT = [[f"{phase}-{place}" for place in range(SLICES)] for phase in range(PHASES)]


@given(key=st.sampled_from(sorted(KEYS)), seed=st.integers(0, 10**6), phases=st.integers(2, 7))
def test_phases_are_found_by_each_key_in_any_order_of_the_images(
    key: PartKey, seed: int, phases: int
) -> None:
    images = series(KEYS[key], phases=phases)
    random.Random(seed).shuffle(images)
    split = split_series(images)
    assert split.key is key
    assert not split.agreeing
    assert [[one.instance for one in part.images] for part in split.parts] == [
        [f"{phase}-{place}" for place in range(SLICES)] for phase in range(phases)
    ]


@given(keys=st.sets(st.sampled_from(list(KEYS)), min_size=1))
def test_the_most_trusted_key_is_used_and_those_that_agree_are_named(keys: set[PartKey]) -> None:
    def change(made: PartImage, phase: int, place: int) -> PartImage:
        for key in keys:
            made = KEYS[key](made, phase, place)
        return made

    split = split_series(series(change))
    ordered = [key for key in KEYS if key in keys]
    assert (split.key, split.agreeing) == (ordered[0], tuple(ordered[1:]))


def test_a_series_of_one_volume_is_whole() -> None:
    split = split_series(series(phases=1))
    assert split.is_whole
    assert split.left_out == ()
    assert len(split.parts) == 1


def test_times_go_on_after_midnight() -> None:
    assert names(series(over_midnight)) == RIGHT


def test_values_that_vary_inside_a_phase_do_not_speak_against_it() -> None:
    """Content times are written slice by slice, acquisition numbers by packages of slices."""

    def change(made: PartImage, phase: int, place: int) -> PartImage:
        made = replace(temporal(made, phase, place), acquisition_number=place % 2)
        return replace(made, content=START + timedelta(seconds=place * 100 - phase))

    split = split_series(series(change))
    assert (split.key, split.agreeing) == (PartKey.TEMPORAL_POSITION, ())


def test_acquisition_times_of_later_phases_may_be_earlier_by_a_rounding_alone() -> None:
    def jittering(made: PartImage, phase: int, place: int) -> PartImage:
        when = START + timedelta(seconds=-0.1 * phase)
        return replace(temporal(made, phase, place), acquired=when)

    assert names(series(jittering)) == RIGHT


@pytest.mark.parametrize(
    ("image_type", "kind"),
    [
        (("DERIVED", "PRIMARY", "M", "SUB"), "computed"),
        (("DERIVED", "PRIMARY", "PROJECTION IMAGE"), "computed"),
        (("ORIGINAL", "PRIMARY", "P"), "computed"),
        (("ORIGINAL", "PRIMARY", "R"), "complex"),
        (("ORIGINAL", "PRIMARY", "LOCALIZER"), "localizer"),
    ],
)
def test_images_of_other_kinds_are_left_out_and_said(
    image_type: tuple[str, ...], kind: str
) -> None:
    others = [
        replace(image(9, place, temporal), image_type=image_type, temporal_position=2)
        for place in range(3)
    ]
    split = split_series([*others, *series(temporal)])
    assert split.left_out == (LeftOut(kind=kind, count=3),)  # type: ignore[arg-type]
    assert names([*others, *series(temporal)]) == RIGHT


def test_of_dixon_images_the_water_is_used() -> None:
    def dixon(value: str) -> list[PartImage]:
        return [
            replace(
                one, image_type=("DERIVED", "PRIMARY", value), instance=f"{value}{one.instance}"
            )
            for one in series(temporal)
        ]

    split = split_series([*dixon("FAT"), *dixon("WATER"), *dixon("IN_PHASE")])
    assert {one.instance[:5] for part in split.parts for one in part.images} == {"WATER"}
    assert {item.kind: item.count for item in split.left_out} == {"fat": 20, "in-phase": 20}


def test_a_localizer_of_another_orientation_is_left_out() -> None:
    scout = [image(9, place, sagittal) for place in range(2)]
    assert names([*scout, *series(temporal)]) == RIGHT
    split = split_series([*scout, *series(phases=1)])
    assert (split.key, split.left_out) == (PartKey.IMAGES, (LeftOut(kind="localizer", count=2),))


def test_a_scout_of_some_slices_is_left_out() -> None:
    scout = [replace(image(0, at, sagittal), instance=f"scout-{at}") for at in range(3)]
    more = [
        replace(one, position=(-10.0, 5.0, 2.0 * (at + SLICES)), instance=f"{one.instance}+")
        for one in series(temporal)
        for at in [int(one.instance[-1])]
    ]
    split = split_series([*series(temporal), *more, *scout])
    assert split.left_out == (LeftOut(kind="localizer", count=3),)
    assert [len(part.images) for part in split.parts] == [2 * SLICES] * PHASES


def test_two_slabs_are_parts_and_each_has_its_phases() -> None:
    """As of both breasts: in a fixed order, slab by slab."""

    def far(made: PartImage, phase: int, place: int) -> PartImage:
        x, y, z = made.position or ()
        return replace(temporal(made, phase, place), position=(x, y, z + 90.0), instance="far")

    split = split_series([*series(far, phases=1), *series(temporal, phases=1)])
    assert (split.key, split.stacks) == (PartKey.STACK, 2)
    assert [part.images[0].instance for part in split.parts] == ["0-0", "far"]
    split = split_series([*series(far), *series(temporal)])
    assert (split.key, split.stacks, len(split.parts)) == (PartKey.TEMPORAL_POSITION, 2, 8)


@pytest.mark.parametrize("seconds", [(2, 1, 8, 3), (3, 0, 0, 0)])
def test_a_phase_may_be_written_more_slowly_than_others(seconds: tuple[int, ...]) -> None:
    def slow(made: PartImage, phase: int, place: int) -> PartImage:
        when = START + timedelta(seconds=60 * phase + seconds[phase] * place)
        return replace(made, content=when)

    assert names(series(slow)) == RIGHT


def test_stack_ids_that_count_phases_make_no_stacks() -> None:
    def stacked(made: PartImage, phase: int, place: int) -> PartImage:
        return replace(temporal(made, phase, place), stack=str(9 - phase))

    assert names(series(stacked)) == RIGHT
    assert split_series(series(stacked)).stacks == 1


def test_positions_rounded_to_a_tenth_are_one_place() -> None:
    def rounded(made: PartImage, phase: int, place: int) -> PartImage:
        x, y, z = made.position or ()
        return replace(temporal(made, phase, place), position=(x, y, z + (0.3, 0.4)[phase % 2]))

    assert names(series(rounded)) == RIGHT


def test_slices_of_the_volume_beyond_a_gap_are_not_called_a_localizer() -> None:
    """The volume is refused where its spacing is measured, and none of it is left out."""

    def far(made: PartImage, phase: int, place: int) -> PartImage:
        x, y, z = made.position or ()
        return replace(temporal(made, phase, place), position=(x, y, z + 30.0 * (place == 4)))

    assert split_series(series(far)).left_out == ()
    assert names(series(far)) == RIGHT
    assert split_series(series(far, phases=1)).is_whole


@given(
    key=st.sampled_from([PartKey.TRIGGER_TIME, PartKey.ACQUISITION_TIME, PartKey.CONTENT_TIME]),
    late=st.integers(0, 40),
    lost=st.tuples(st.integers(1, PHASES - 1), st.integers(0, SLICES - 1)),
)
def test_a_copy_of_another_phase_never_takes_the_place_of_a_lost_slice(
    key: PartKey, late: int, lost: tuple[int, int]
) -> None:
    """The copy was written later, so that times alone would sort it into the phase."""
    phase, place = lost

    def even(made: PartImage, phase: int, _: int) -> PartImage:
        return KEYS[key](made, 2 * phase, 0)

    images = [one for one in series(even) if one.instance != f"{phase}-{place}"]
    other = next(one for one in images if one.instance == f"{phase - 1}-{place}")
    wait = timedelta(seconds=late)
    copy = replace(
        other,
        instance="copy",
        trigger_ms=None if other.trigger_ms is None else other.trigger_ms + 1000 * late,
        acquired=other.acquired and other.acquired + wait,
        content=other.content and other.content + wait,
    )
    with pytest.raises(SeriesRefusedError):
        split_series([*images, copy])


def test_fewer_phases_than_declared_are_said() -> None:
    declared = [replace(one, positions_declared=6) for one in series(temporal)]
    assert split_series(declared).declared == 6
    assert split_series(series(temporal)).declared is None


def _without(*instances: str) -> list[PartImage]:
    return [one for one in series(temporal) if one.instance not in instances]


def _both(first: Change, second: Change) -> Change:
    return lambda made, phase, place: second(first(made, phase, place), phase, place)


def _backwards(made: PartImage, phase: int, _: int) -> PartImage:
    return replace(made, acquired=START - timedelta(minutes=phase))


def _shifted_along(made: PartImage, phase: int, place: int) -> PartImage:
    x, y, z = made.position or ()
    return replace(temporal(made, phase, place), position=(x, y, z + 0.4 * phase))


def _shifted_across(made: PartImage, phase: int, place: int) -> PartImage:
    x, y, z = made.position or ()
    return replace(temporal(made, phase, place), position=(x + 3.0 * phase, y, z))


def _one_twice(made: PartImage, phase: int, place: int) -> PartImage:
    return temporal(made, min(phase, 2), place)


def _mixed_up(made: PartImage, phase: int, place: int) -> PartImage:
    """Positions that are those of other phases on every other slice."""
    wrong = PHASES - 1 - phase if place % 2 else phase
    return replace(temporal(made, phase, place), acquired=START + timedelta(minutes=wrong))


def _again(images: Sequence[PartImage], seconds: float = 0.0) -> list[PartImage]:
    """The same images under other UIDs, written a while later."""
    wait = timedelta(seconds=seconds)
    return [
        replace(one, instance=f"again {one.instance}", content=one.content and one.content + wait)
        for one in images
    ]


def _turned(made: PartImage, phase: int, place: int) -> PartImage:
    turn = 0.003 * phase
    return replace(temporal(made, phase, place), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, turn))


def _numbered_backwards(made: PartImage, phase: int, _: int) -> PartImage:
    """Some phases were written at one time: this time cuts nothing, but it falls."""
    written = START + timedelta(minutes=min(phase, 2))
    return replace(made, acquisition_number=9 - phase, content=written)


def _with_a_date_on_some(made: PartImage, phase: int, _: int) -> PartImage:
    when = START + timedelta(minutes=phase)
    return replace(made, acquired=when if phase < 2 else when.replace(2000, 1, 1))


def _far(made: PartImage, _: int, place: int) -> PartImage:
    return replace(made, position=(-10.0, 5.0, 200.0 + 2.0 * place))


def _late(phase: int, day: int | None = None) -> datetime:
    time = datetime(2024, 3, 5, 23, 58, 30) + timedelta(seconds=75 * phase)
    return time if day is None else time.replace(day=day)


def _of_phase(phase: int, change: Change, **attributes: object) -> list[PartImage]:
    """Other attributes of one phase."""
    return [
        replace(one, **attributes) if one.instance[0] == str(phase) else one  # type: ignore[arg-type]
        for one in series(change)
    ]


BROKEN = {
    "a phase that has only begun": (
        [one for one in series(temporal, phases=5) if one.instance not in ("4-2", "4-3", "4-4")],
        "part-incomplete",
    ),
    "all twice": ([*series(temporal), *_again(series(temporal))], "part-duplicate"),
    "all twice, by trigger time": (
        [*series(triggered), *_again(series(triggered))],
        "part-duplicate",
    ),
    "all twice, written later, with temporal positions": (
        [*series(_both(temporal, content)), *_again(series(_both(temporal, content)), 12)],
        "part-duplicate",
    ),
    "all twice, written later, with acquisition times": (
        [*series(_both(acquired, content)), *_again(series(_both(acquired, content)), 12)],
        "part-duplicate",
    ),
    "phases that are turned a little": (series(_turned), "parts-shifted"),
    "phases shifted along the normal, by number": (
        series(_both(numbered, lambda *at: replace(_shifted_along(*at), temporal_position=None))),
        "parts-shifted",
    ),
    "numbers that fall in time": (series(_numbered_backwards), "parts-contradict"),
    "dates on some images alone": (series(_with_a_date_on_some), "parts-unordered"),
    "later phases of another pixel spacing": (
        [
            replace(one, spacing=(0.8, 0.8)) if one.instance > "2" else one
            for one in series(temporal)
        ],
        "mixed-pixel-spacing",
    ),
    "a phase without one slice": (_without("2-3"), "part-incomplete"),
    "a phase without its last slices": (_without("3-3", "3-4"), "part-incomplete"),
    "a slice twice": ([*series(temporal), image(1, 2, temporal)], "part-duplicate"),
    "a phase twice": (series(_one_twice), "part-duplicate"),
    "no key": (series(), "parts-unordered"),
    "a key on some images alone": (
        [temporal(one, 0, 0) if one.instance < "2" else one for one in series()],
        "part-key-missing",
    ),
    "two keys that contradict": (series(_both(temporal, _backwards)), "parts-contradict"),
    "a key that contradicts on some slices": (series(_mixed_up), "parts-contradict"),
    "several echoes": (
        [replace(one, echo_ms=2.0 + int(one.instance[0])) for one in series(temporal)],
        "several-echoes",
    ),
    "several b-values": (
        [replace(one, b_value=500.0 * int(one.instance[0])) for one in series(temporal)],
        "several-weightings",
    ),
    "phases shifted along the normal": (series(_shifted_along), "parts-shifted"),
    "phases shifted within the slices": (series(_shifted_across), "parts-shifted"),
    "an image without a position": (
        [replace(one, position=None) if one.instance == "0-0" else one for one in series(temporal)],
        "no-position",
    ),
    "images of three planes": (
        [image(0, 0), image(0, 1), image(0, 2, sagittal), image(0, 3, sagittal)],
        "mixed-orientation",
    ),
    "two stacks of other phases": (
        [
            *series(temporal),
            *series(lambda made, *at: sagittal(triggered(made, *at), *at), phases=2),
        ],
        "parts-turned",
    ),
    "two slabs of other phases": (
        [*series(temporal), *series(_both(triggered, _far), phases=2)],
        "parts-unordered",
    ),
    "a phase of another size": (_of_phase(2, temporal, matrix=(16, 16)), "mixed-matrix"),
    "a phase that is turned": (_of_phase(2, temporal, orientation=TURNED), "parts-turned"),
    "a phase that is derived": (
        _of_phase(2, temporal, image_type=("DERIVED", "SECONDARY", "M")),
        "parts-derived",
    ),
    "a phase without rescale": (
        [
            replace(one, is_rescaled=None if one.instance < "1" else True)
            for one in series(temporal)
        ],
        "mixed-rescale",
    ),
    "echo numbers": (
        [replace(one, echo_number=int(one.instance[0])) for one in series(temporal)],
        "several-echoes",
    ),
    "a date that is wrong after midnight": (
        _of_phase(
            3, lambda made, phase, _: replace(made, acquired=_late(phase)), acquired=_late(3, 5)
        ),
        "parts-dates",
    ),
    "positions on some images that fall in time": (
        [
            one if one.instance == "2-1" else temporal(one, int(one.instance[0]), 0)
            for one in series(_backwards)
        ],
        "parts-contradict",
    ),
    "a slice in the place of another phase's": (
        [
            replace(temporal(one, 2, 0), instance="3-2") if one.instance == "3-2" else one
            for one in series(temporal)
        ],
        "part-duplicate",
    ),
    "a slice shifted by half a step": (
        [
            replace(one, position=(-10.0, 5.0, 5.0)) if one.instance == "2-2" else one
            for one in series(acquired)
        ],
        "parts-shifted",
    ),
    "another slice of each phase lost": (_without("0-0", "1-1", "2-2", "3-3"), "part-incomplete"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_whole_or_not_sure_is_refused_by_its_own_name(name: str) -> None:
    images, code = BROKEN[name]
    for seed in range(3):
        random.Random(seed).shuffle(images)
        with pytest.raises(SeriesRefusedError) as caught:
            split_series(images)
        assert caught.value.code == code
        assert caught.value.remedy != SeriesRefusedError.remedy or code == "no-position"
