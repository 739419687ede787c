"""Instances in a transfer syntax that is not read here come decoded by Orthanc, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from lab_side.download import download_series
from segrelay.dicom.transfer_syntaxes import CODECS, EXPLICIT_LITTLE_ENDIAN, has_codecs
from segrelay.errors import (
    OrthancRefusedError,
    OrthancUnavailableError,
    SegRelayError,
    SeriesRefusedError,
)
from segrelay.orthanc import InstanceInfo, OrthancClient
from segrelay.orthanc.failures import refusal
from tests.support.servers.fake_orthanc import FakeOrthanc, part10

MPEG2 = "1.2.840.10008.1.2.4.100"
BOTH = pytest.mark.parametrize("transfer", ["pool", "archive"])


def decoded(info: InstanceInfo, *, uid: str = "", syntax: str = EXPLICIT_LITTLE_ENDIAN) -> bytes:
    return part10(uid or info.sop_instance_uid, b"decoded" * 2000, syntax=syntax)


class Transcoding(FakeOrthanc):
    """Answers with what a test gives for an instance, and raises where that is an error."""

    answer: Callable[[InstanceInfo], bytes | SegRelayError] = staticmethod(decoded)
    asked = 0

    def transcode(self, data: bytes) -> bytes:
        self.asked += 1
        (info,) = [info for info, stored in self.files.items() if stored == data]
        answer = self.answer(info)
        if isinstance(answer, bytes):
            return answer
        raise answer


def fetch(fake: FakeOrthanc, folder: Path) -> dict[str, bytes]:
    found = download_series(
        cast("OrthancClient", fake),
        [fake.series_id],
        folder,
        expected={fake.series_id: None},
        progress=lambda _done, _total: None,
        stop=threading.Event(),
    )
    assert {path.suffix for path in folder.iterdir()} == {".dcm"}
    return {path.stem: path.read_bytes() for path in found[fake.series_id].files}


def mixed(transfer: str) -> Transcoding:
    """Of nine instances every third is MPEG2; of the others some name no syntax."""
    fake = cast("Transcoding", Transcoding.with_series(0, transfer=transfer, connections=2))
    for number in range(9):
        fake.add(number, syntax=("", EXPLICIT_LITTLE_ENDIAN, MPEG2)[number % 3])
    return fake


@BOTH
def test_only_what_is_not_read_here_is_transcoded_and_once(tmp_path: Path, transfer: str) -> None:
    fake = mixed(transfer)
    got = fetch(fake, tmp_path)
    assert fake.asked == 3
    for info, data in fake.files.items():
        wanted = decoded(info) if MPEG2.encode() in data else data
        assert got[info.orthanc_id] == wanted


def test_an_archive_that_broke_off_is_asked_for_again(tmp_path: Path) -> None:
    fake = mixed("pool")
    errors = [OrthancUnavailableError("Orthanc is away.")]
    fake.answer = lambda info: errors.pop() if errors else decoded(info)
    assert len(fetch(fake, tmp_path)) == 9
    assert fake.asked == 4


def own_error(http: int, orthanc_status: int) -> SegRelayError:
    """What an Orthanc that describes its errors answers."""
    text = f'{{"OrthancError": "", "OrthancStatus": {orthanc_status}}}'.encode()
    return refusal(http, text, FakeOrthanc.with_series(0).settings)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda info: part10(info.sop_instance_uid, bytes(9), syntax=MPEG2), "cannot decode it"),
        (lambda info: decoded(info, uid="2.25.9"), "as another instance"),
        (lambda _info: own_error(501, 2), "cannot decode it"),
        (lambda _info: own_error(500, 15), "cannot decode it"),
        (lambda _info: OrthancRefusedError("No archives here (HTTP 405)."), "refuses to decode"),
    ],
)
@BOTH
def test_what_orthanc_does_not_decode_is_refused_by_its_name(
    tmp_path: Path, transfer: str, answer: Callable[[InstanceInfo], bytes], why: str
) -> None:
    fake = mixed(transfer)
    fake.answer = answer
    with pytest.raises(SeriesRefusedError, match=why) as caught:
        fetch(fake, tmp_path)
    assert caught.value.code == "compressed-unreadable"
    assert "MPEG2" in caught.value.message
    assert "orthanc-gdcm" in caught.value.remedy


@pytest.mark.parametrize(
    "answer",
    [
        lambda _info: own_error(500, 11),
        lambda _info: own_error(500, -1),
        lambda _info: refusal(503, b"", FakeOrthanc.with_series(0).settings),
        lambda info: decoded(info, syntax=next(iter(CODECS))),
        lambda _info: b"no DICOM file",
    ],
)
def test_a_momentary_trouble_is_not_taken_for_final(
    tmp_path: Path, answer: Callable[[InstanceInfo], bytes]
) -> None:
    fake = mixed("pool")
    fake.answer = answer
    with pytest.raises(OrthancUnavailableError):
        fetch(fake, tmp_path)


def test_a_computer_without_the_codecs_asks_orthanc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = cast("Transcoding", Transcoding.with_series(0, transfer="pool"))
    info = fake.add(1, syntax=next(iter(CODECS)))
    monkeypatch.setattr("segrelay.dicom.transfer_syntaxes.has_codecs", lambda: False)
    assert fetch(fake, tmp_path / "decoded")[info.orthanc_id] == decoded(info)
    fake.answer = lambda info: fake.files[info]
    with pytest.raises(SeriesRefusedError) as caught:
        fetch(fake, tmp_path / "refused")
    assert "imagecodecs" in caught.value.remedy
    monkeypatch.undo()
    assert has_codecs()
    assert fetch(fake, tmp_path / "read")[info.orthanc_id] == fake.files[info]
    assert fake.asked == 2
