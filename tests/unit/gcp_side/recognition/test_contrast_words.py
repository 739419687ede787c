"""What words of a description say of contrast, in the usages of several hospitals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcp_side.labseg.recognition.contrast_words import ContrastWord, read_contrast
from gcp_side.labseg.recognition.words import plain

SAID = {
    ContrastWord.BEFORE: (
        "T1 PRE GD",
        "sT1W_3D_TFE_PRE_GD",
        "CS sag sT1W_3D_TFE nativ",
        "t1_precontrast",
        "T1 vor KM",
        "T1 SIN CONTRASTE",
        "3D T1 sans inj",
        "t1 unenhanced",
        "T1 non contrast",
        "AX T1 W/O",
        "w/o con T1",
        "T1 Gd-",
        "T1 CE(-)",
        "VIBRANT C-",
        "t1n",
        "조영증강 전 T1",
        "T1 비조영",
        "T1 造影前",
        "T1 平扫",
    ),
    ContrastWord.AFTER: (
        "AX T1 POST W/O FS",
        "AX T1 with fat sat post",
        "PRE-OP STEALTH T1 MPRAGE GAD",
        "prä OP T1 KM",
        "T1 AX POST-RT GD",
        "T1 nach OP KM",
        "T1 +C 수술후",
        "T1 CE 치료전",
        "T1postGd",
        "Ax T1 FLAIR +C",
        "T1+C",
        "VIBRANT C+",
        "t1_nach_KM",
        "3D T1 après injection",
        "T1 con mdc",
        "T1 Gd-DOTA",
        "CE 3D T1 TFE AX",
        "T1 조영증강",
        "T1 조영제 주입 후",
        "T1 造影後",
        "MRI BRAIN W WO T1 POST",
        "POSTOP T1 POST",
    ),
    ContrastWord.BOTH: (
        "T1 AX W/O AND W CONTRAST",
        "AX T1 PRE/POST GD",
        "BRAIN W-WO-CONTRAST T1",
        "T1 nativ + KM",
        "C-/C+ T1",
        "t1 +/- c",
        "T1 조영전후",
        "T1 造影前後",
    ),
    ContrastWord.NOTHING: (
        "T1 MPRAGE",
        "T1W TSE",
        "T1 W/O FS",
        "T1 non fat sat",
        "T1 POSTERIOR FOSSA",
        "T1 AX POST OP",
        "T1 3D preop",
        "T1 s/p resection",
        "T1 post 6 months",
        "T1 PRE 2019-03-01",
        "T1-AX-POST-3-MONTHS",
        "T1 C-SPINE",
        "T1 5 cm",
        "수술 후 T1",
        "술전 T1",
        "T1 前頭",
    ),
}


@pytest.mark.parametrize(
    ("description", "word"), [(text, word) for word, texts in SAID.items() for text in texts]
)
def test_what_is_said_of_contrast(description: str, word: ContrastWord) -> None:
    assert read_contrast(plain(description)).word is word


@pytest.mark.parametrize(
    ("description", "is_doubtful"),
    [
        ("T1 post", False),
        ("T1 post tra", False),
        ("t1_mprage_post_iso", False),
        ("dyn post 5 min", False),
        ("T1 post stroke", True),
        ("T1 D7 post", True),
        ("PRE STEALTH T1 GAD", True),
        ("T1 pre", False),
    ],
)
def test_a_word_that_may_be_said_of_another_thing(description: str, is_doubtful: bool) -> None:
    assert read_contrast(plain(description)).is_doubtful is is_doubtful


@given(st.text(max_size=120))
def test_any_text_is_read(text: str) -> None:
    reading = read_contrast(plain(text))
    assert reading.word in ContrastWord
    assert all(word and not word.isspace() for word in reading.rest)
