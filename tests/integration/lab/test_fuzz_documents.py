"""Every reader of what others write: any document is read, or refused by an error of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.fuzz_documents import DOCUMENTS, fuzz, readers
from tests.conftest import SEED

NAMES = (
    *("manifest", "manifest, signed", "result", "result in the bucket", "attempt", "progress"),
    *("rejection", "heartbeat", "heartbeat's file", "pause", "draft", "trouble"),
    *("Orthanc: inventory", "Orthanc: series", "Orthanc: tags", "Orthanc: upload"),
    "Orthanc: list of ids",
)


def check(folder: Path, name: str, documents: int) -> None:
    (reader,) = (item for item in readers(folder) if item.name == name)
    tally = fuzz(reader, documents, SEED)
    assert tally.is_well, tally
    assert tally.read > documents // 50, "the documents are all refused: nothing is tested"
    assert tally.refused > documents // 50


def test_every_reader_is_named(tmp_path: Path) -> None:
    assert tuple(item.name for item in readers(tmp_path)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_some_odd_documents(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, 60)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_many_odd_documents(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, DOCUMENTS)


def test_an_exception_that_escapes_is_told(tmp_path: Path) -> None:
    reader = readers(tmp_path)[0]
    broken = type(reader)(name="broken", valid=reader.valid, read=lambda data: data[10**9])
    tally = fuzz(broken, 20)
    assert tally.others.total() == 20
    assert not tally.is_well
