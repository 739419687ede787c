"""Settings of an acquisition, compared with a tolerance, and what they say of its images."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrelay.dicom.acquisition import (
    acquired_at,
    after_midnight,
    all_same,
    are_comparable,
    dixon_image,
    is_computed,
    is_same,
    weighting_by_times,
)

SETTINGS = st.floats(0.5, 20_000)


@given(SETTINGS, st.floats(-0.001, 0.001))
def test_a_rounded_setting_is_the_same(value: float, error: float) -> None:
    assert is_same(value, value * (1 + error))
    assert is_same(float(f"{value:.4g}"), value)


@given(SETTINGS, st.floats(1.05, 10))
def test_another_setting_is_another(value: float, factor: float) -> None:
    assert not is_same(value, value * factor)


@given(SETTINGS | st.none(), SETTINGS | st.none())
def test_what_is_the_same_is_so_both_ways(first: float | None, second: float | None) -> None:
    assert is_same(first, second) == is_same(second, first)
    assert is_same(first, first)


def test_what_is_missing_is_like_what_is_missing() -> None:
    assert not is_same(None, 2.3)
    assert all_same(None, None)
    assert not all_same((1.0, 0.0), None)
    assert not all_same((1.0, 0.0), (1.0,))
    assert all_same((1.0, -0.0), (0.9999, 0.004))


@pytest.mark.parametrize(
    ("times", "weighting"),
    [
        ((9, 550, None), "T1"),
        ((2.9, 2000, 900), "T1"),
        ((3.2, 8.2, 450), "T1"),
        ((24, 2300, 860), "T1"),
        ((98, 4500, None), "T2"),
        ((110, 9000, 2500), "FLAIR"),
        ((388, 5000, 1800), "FLAIR"),
        ((60, 4500, 160), "STIR"),
        ((34, 4500, 150), "STIR"),
        ((12, 3000, None), "PD"),
        ((2.9, 2000, None), None),
        ((110, 9000, None), None),
        ((45, 3000, None), None),
        ((None, 550, None), None),
    ],
)
def test_weighting_by_times(
    times: tuple[float | None, float | None, float | None], weighting: str | None
) -> None:
    assert weighting_by_times(*times) == weighting


@pytest.mark.parametrize(
    ("image_type", "image"),
    [
        ("DERIVED\\PRIMARY\\DIXON\\WATER", "water"),
        ("DERIVED\\PRIMARY\\F\\F\\DERIVED", "fat"),
        ("ORIGINAL\\PRIMARY\\M\\IN_PHASE", "in-phase"),
        ("DERIVED\\PRIMARY\\OPP_PHASE", "opposed-phase"),
        ("DERIVED\\PRIMARY\\W\\F", None),
        ("ORIGINAL\\PRIMARY\\M\\ND", None),
    ],
)
def test_images_of_a_dixon_acquisition(image_type: str, image: str | None) -> None:
    assert dixon_image(image_type.split("\\")) == image


@pytest.mark.parametrize(
    ("image_type", "computed"),
    [
        ("DERIVED\\PRIMARY\\M\\SUB", True),
        ("ORIGINAL\\PRIMARY\\M\\SUBTRACTED", True),
        ("DERIVED\\PRIMARY\\VOLUME\\SUB_MIP", True),
        ("DERIVED\\PRIMARY\\VOLUME\\MAXIMUM", True),
        ("ORIGINAL\\PRIMARY\\SUBJECT", False),
        ("DERIVED\\SECONDARY\\PROJECTION IMAGE", True),
        ("DERIVED\\PRIMARY\\DIFFUSION\\ADC", True),
        ("ORIGINAL\\PRIMARY\\P\\ND", True),
        ("DERIVED\\PRIMARY\\T1_MAP", True),
        ("ORIGINAL\\PRIMARY\\M\\ND", False),
        ("DERIVED\\SECONDARY\\MPR", False),
        ("DERIVED\\SECONDARY", False),
        ("", False),
    ],
)
def test_what_was_computed_and_is_no_sequence(image_type: str, computed: bool) -> None:
    assert is_computed(image_type.split("\\")) is computed


@given(
    st.datetimes(datetime(2025, 1, 1, 12), datetime(2025, 1, 1, 23, 59)),
    st.lists(st.integers(1, 3600), min_size=1, max_size=5),
)
def test_a_scan_over_midnight_goes_on(start: datetime, gaps: list[int]) -> None:
    """With the date of the first image for all of them."""
    times = [start]
    for gap in gaps:
        times.append(times[-1] + timedelta(seconds=gap))
    written = [datetime.combine(start.date(), moment.time()) for moment in times]
    late = after_midnight(written)
    assert [moment + timedelta(days=moment in late) for moment in written] == times


@pytest.mark.parametrize(
    ("both", "day", "time", "moment"),
    [
        ("", "20260504", "235959.25", datetime(2026, 5, 4, 23, 59, 59, 250_000)),
        ("", "20260504", "1015", datetime(2026, 5, 4, 10, 15)),
        ("", "", "101530.123456 ", datetime(2000, 1, 1, 10, 15, 30, 123_456)),
        ("20260505000001.5+0900", "20260504", "120000", datetime(2026, 5, 5, 0, 0, 1, 500_000)),
        ("202605050000-0500", "", "", datetime(2026, 5, 5)),
        ("later", "20260504", "101530\0", datetime(2026, 5, 4, 10, 15, 30)),
        ("20260504", "20260504", "10", None),
        ("", "20260504", "noon", None),
        ("", "20260504", "101530.x", None),
        ("", "20260231", "101530", None),
    ],
)
def test_when_an_image_was_acquired(
    both: str, day: str, time: str, moment: datetime | None
) -> None:
    values = {"AcquisitionDateTime": both, "AcquisitionDate": day, "AcquisitionTime": time}
    assert acquired_at(values.__getitem__) == moment


def test_times_with_and_without_a_date_sort_nothing() -> None:
    with_date, without = datetime(2026, 5, 4, 10), datetime(2000, 1, 1, 11)
    assert are_comparable([with_date, with_date])
    assert are_comparable([without, without])
    assert not are_comparable([with_date, without])
