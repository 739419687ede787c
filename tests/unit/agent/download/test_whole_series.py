"""A series in one answer, where there is no round trip to wait for: as complete as one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_side.download import whole_series
from lab_side.download.multipart import MultipartReader
from lab_side.download.transfer_mode import Estimate
from segrelay.errors import FixConfigurationError, OrthancRefusedError, OrthancUnavailableError
from tests.support.servers.fake_orthanc import BOUNDARY, FakeOrthanc, multipart, part10
from tests.unit.agent.download.test_orthanc_download import fetch

KIND = f"multipart/related; boundary={BOUNDARY}"


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy computer is not far, and its disk is no thin line."""
    monkeypatch.setattr(whole_series, "NEAR_S", 60.0)
    monkeypatch.setattr(Estimate, "prefers_archives", lambda *_: False)


def fake(count: int = 100, *, connections: int = 1, transfer: str = "auto") -> FakeOrthanc:
    """One series, offered as a whole."""
    made = FakeOrthanc.with_series(count, connections=connections, transfer=transfer)
    made.offers_series_files = True
    return made


def test_a_near_series_comes_in_one_answer_and_is_looked_at_again(tmp_path: Path) -> None:
    orthanc = fake()
    fetch(orthanc, tmp_path)
    assert (orthanc.wholes, len(orthanc.alone)) == ([orthanc.series_id], 1)
    assert len(orthanc.looks) == 2


def test_over_a_line_it_comes_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_series, "NEAR_S", 0.0)
    orthanc = fake()
    fetch(orthanc, tmp_path)
    assert (orthanc.wholes, len(orthanc.alone)) == ([], 100)


def test_the_pool_stays_one_by_one_where_that_is_set(tmp_path: Path) -> None:
    orthanc = fake(transfer="pool")
    fetch(orthanc, tmp_path)
    assert (orthanc.wholes, len(orthanc.alone)) == ([], 100)


def test_several_threads_ask_for_it_once(tmp_path: Path) -> None:
    orthanc = fake(connections=8)
    fetch(orthanc, tmp_path)
    assert orthanc.wholes == [orthanc.series_id]
    assert len(set(orthanc.alone)) == len(orthanc.alone) < 50


def test_a_short_series_comes_one_by_one(tmp_path: Path) -> None:
    orthanc = fake(whole_series.LEAST_INSTANCES - 1)
    fetch(orthanc, tmp_path)
    assert orthanc.wholes == []


def test_where_little_is_left_that_alone_is_sent(tmp_path: Path) -> None:
    orthanc = fake()
    fetch(orthanc, tmp_path)
    for path in list(tmp_path.iterdir())[:40]:
        path.unlink()
    fetch(orthanc, tmp_path)
    assert (len(orthanc.wholes), len(orthanc.alone)) == (1, 41)


FOREIGN = part10("2.25.9999", bytes(3000))


def foreign_first(answer: bytes) -> bytes:
    return multipart([FOREIGN]).removesuffix(f"--{BOUNDARY}--".encode()) + answer


@pytest.mark.parametrize(
    ("bend", "alone"),
    [
        (lambda answer: b"", 99),
        (lambda answer: answer[: len(answer) // 2], 50),
        (lambda answer: answer[:-1], 0),
        (lambda answer: answer.replace(b"Content-Length", b"Content-Size"), 99),
        (lambda answer: answer.replace(b"DICM", b"DICX", 1), 0),
        (lambda answer: answer[::-1].replace(b"MCID", b"XCID", 1)[::-1], 1),
        (lambda answer: answer.replace(b"Length: 3", b"Length: 1", 1), 99),
        (lambda answer: answer.replace(b"Length: 3", b"Length: 9", 1), 99),
        (foreign_first, 0),
    ],
    ids=[
        "empty",
        "half",
        "no-end",
        "no-length",
        "no-dicom-here",
        "no-dicom",
        "shorter",
        "longer",
        "foreign",
    ],
)
def test_what_an_answer_lacks_comes_one_by_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bend: Callable[[bytes], bytes],
    alone: int,
) -> None:
    orthanc = fake()
    monkeypatch.setattr(orthanc, "bend_series", bend)
    fetch(orthanc, tmp_path)
    assert len(orthanc.alone) == 1 + alone


def test_an_answer_that_breaks_off_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc = fake()

    def bend(answer: bytes) -> bytes:
        orthanc.broken_answers = 1
        return answer

    monkeypatch.setattr(orthanc, "bend_series", bend)
    fetch(orthanc, tmp_path)
    assert 1 < len(orthanc.alone) < 100


@pytest.mark.parametrize(
    "error",
    [
        OrthancRefusedError("No such path (HTTP 404)."),
        FixConfigurationError("No right to it (HTTP 403).", code="orthanc-credentials"),
    ],
)
def test_an_orthanc_without_the_plugin_is_asked_once(tmp_path: Path, error: Exception) -> None:
    orthanc = fake()
    orthanc.series_error = error
    fetch(orthanc, tmp_path / "first")
    fetch(orthanc, tmp_path / "second")
    assert (len(orthanc.wholes), len(orthanc.alone)) == (1, 200)


@given(
    bodies=st.lists(st.binary(max_size=60), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=9),
)
def test_parts_are_read_whatever_the_pieces(bodies: list[bytes], cuts: list[int]) -> None:
    answer = multipart(bodies)

    def pieces() -> Iterator[bytes]:
        at = number = 0
        while at < len(answer):
            size = cuts[number % len(cuts)]
            yield answer[at : at + size]
            at, number = at + size, number + 1

    reader, found = MultipartReader(KIND, pieces()), []
    while (size := reader.next_part()) is not None:
        found.append(b"".join(reader.body(size)))
    assert found == bodies


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("application/zip", b"PK"),
        ("multipart/related", multipart([b"x"])),
        (KIND, b"--another\r\n"),
        (KIND, f"--{BOUNDARY}\r\n".encode() + b"A: b\r\n" * 40),
        (KIND, b"x" * 20_000),
        (KIND, b""),
    ],
)
def test_what_is_no_such_answer_is_refused(kind: str, answer: bytes) -> None:
    with pytest.raises(OrthancUnavailableError):
        MultipartReader(kind, iter([answer])).next_part()
