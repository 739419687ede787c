"""Which body regions attributes name: words of three languages, and what fits what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from segrelay.dicom.body_regions import (
    ATTRIBUTES,
    REGIONS,
    contradictions,
    regions_in,
    regions_of,
    regions_of_body_part,
)


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        ("MRI BRAIN W/WO", "brain"),
        ("t1_mprage_Brain3D", "brain"),
        ("BrainTumor", "brain"),
        ("Großhirn nativ", "brain"),
        ("뇌종양 MRI", "brain"),
        ("Schädel MRT", "head"),
        ("SCHAEDEL", "head"),
        ("Scha\u0308del", "head"),
        ("두부 MR", "head"),
        ("Kopf + HWS", "head, spine"),
        ("Brustwirbelsäule", "spine"),
        ("thoracic spine", "spine"),
        ("Brustkorb", "chest"),
        ("C-Spine", "spine"),
        ("HWS nativ", "spine"),
        ("요추 MRI", "spine"),
        ("Kniegelenk links", "knee"),
        ("MR 무릎(우)", "knee"),
        ("전립선 MRI", "prostate"),
        ("Prostata mp", "prostate"),
        ("Lebermetastasen", "liver"),
        ("간 MRI", "liver"),
        ("좌측유방", "breast"),
        ("\u110b\u1172\u1107\u1161\u11bc", "breast"),
        ("Mammae bds.", "breast"),
        ("Synthetic breast DCE-MRI", "breast"),
        ("Ganzkörper", "whole body"),
        ("Thorax/Abdomen", "abdomen, chest"),
    ],
)
def test_words_of_three_languages_name_their_regions(text: str, regions: str) -> None:
    assert ", ".join(regions_in(text)) == regions


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DCE phase 1",
        "t2_spc_da-fl",
        "PRE-OP T1 MPRAGE GAD",
        "SPIN ECHO",
        "SpinEcho",
        "SPINECHO",
        "HEAD FIRST SUPINE",
        "Feet first",
        "right handed",
        "ship",
        "시간 간격",
        "조영 후 재발",
        "조영제 사용하지 않음",
        "delivery 3 min",
        "Adjacent tumor",
    ],
)
def test_words_that_only_look_like_a_region_name_none(text: str) -> None:
    assert regions_in(text) == ()


@pytest.mark.parametrize(
    ("value", "regions"),
    [
        ("BREAST", "breast"),
        ("Breast", "breast"),
        ("HEADNECK", "head, neck"),
        ("LSSPINE", "spine"),
        ("C SPINE", "spine"),
        ("ABDOMENPELVIS", "abdomen, pelvis"),
        ("WHOLEBODY", "whole body"),
        ("LEG", "leg"),
        ("MAMMA", "breast"),
        ("유방", "breast"),
        ("", ""),
        ("OTHER", ""),
        ("MR", ""),
    ],
)
def test_body_parts_are_those_of_the_standard_and_what_people_write(
    value: str, regions: str
) -> None:
    assert ", ".join(regions_of_body_part(value)) == regions


@pytest.mark.parametrize(
    ("body_part", "expected", "fits"),
    [
        ("BREAST", "breast", True),
        ("CHEST", "breast", True),
        ("THORAX", "breast", True),
        ("WHOLEBODY", "breast", True),
        ("", "breast", True),
        ("UNKNOWN", "breast", True),
        ("BRAIN", "breast", False),
        ("HEAD", "breast", False),
        ("HEART", "breast", False),
        ("HEAD", "brain", True),
        ("SKULL", "brain", True),
        ("HEADNECK", "brain", True),
        ("NECK", "brain", False),
        ("ABDOMEN", "liver", True),
        ("PELVIS", "prostate", True),
        ("KNEE", "prostate", False),
    ],
)
def test_a_region_fits_another_that_holds_it(body_part: str, expected: str, fits: bool) -> None:
    found = contradictions(regions_of({"BodyPartExamined": body_part}), (expected,))
    assert (not found) == fits


def test_each_attribute_that_contradicts_is_named_with_region_alone() -> None:
    attributes = {
        "BodyPartExamined": "BREAST",
        "StudyDescription": "Hong^Gildong BRAIN MRI",
        "ProtocolName": "breast and liver",
        "AnatomicRegionSequence": [{"CodeMeaning": "Knee"}],
    }
    found = contradictions(regions_of(attributes), ("breast",))
    assert [(item.keyword, item.found, item.expected) for item in found] == [
        ("AnatomicRegionSequence", "knee", "breast"),
        ("StudyDescription", "brain", "breast"),
    ]


def test_an_enhanced_image_names_its_region_among_its_functional_groups() -> None:
    anatomy = Dataset()
    region = Dataset()
    region.CodeMeaning = "Brain"
    anatomy.AnatomicRegionSequence = [region]
    shared, image = Dataset(), Dataset()
    shared.FrameAnatomySequence = [anatomy]
    image.SharedFunctionalGroupsSequence = [shared]
    image.BodyPartExamined = ["HEAD", "NECK"]
    assert regions_of(image) == {
        "BodyPartExamined": ("head", "neck"),
        "AnatomicRegionSequence": ("brain",),
    }


def test_a_profile_of_no_known_region_is_contradicted_by_nothing() -> None:
    assert contradictions(regions_of({"BodyPartExamined": "BRAIN"}), ()) == ()


anything = st.recursive(
    st.none() | st.integers() | st.binary(max_size=9) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
)


@given(st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)), anything))
def test_any_value_is_read_and_nothing_but_names_of_regions_comes_out(
    attributes: dict[str, Any],
) -> None:
    found = regions_of(attributes)
    assert {name for names in found.values() for name in names} <= set(REGIONS)
    for item in contradictions(found, ("breast",)):
        assert set(item.found.split(", ")) <= set(REGIONS)
