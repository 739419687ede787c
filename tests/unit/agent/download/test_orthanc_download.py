"""Downloads, one by one and in archives: complete and right, or refused with a reason."""

from __future__ import annotations

import contextlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab_side.download import download_series
from lab_side.download import transfer_mode as choice_module
from lab_side.download.files import LEAST_ROOM
from lab_side.download.transfer_mode import Estimate, archive_seconds
from segrelay.errors import (
    FixConfigurationError,
    LocalDiskError,
    OrthancRefusedError,
    OrthancUnavailableError,
    SegRelayError,
    SeriesRefusedError,
    TransientError,
)
from segrelay.orthanc import InstanceInfo, OrthancClient, UnexpectedAnswerError
from tests.support.jobs import orthanc_id
from tests.support.servers.fake_orthanc import NAME_IN_ARCHIVE, FakeOrthanc, part10

HANG_S = 30.0
"""Nothing here waits: more means that it hangs."""

BOTH = pytest.mark.parametrize("transfer", ["pool", "archive"])


def fetch(
    fake: FakeOrthanc,
    folder: Path,
    *,
    expected: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop: threading.Event | None = None,
) -> None:
    """Download, and compare every byte with what Orthanc had."""
    before = dict(fake.files)
    found = download_series(
        cast("OrthancClient", fake),
        [fake.series_id],
        folder,
        expected={fake.series_id: expected},
        progress=progress,
        stop=stop or threading.Event(),
    )
    series = found[fake.series_id]
    assert series.sop_instance_uids == {info.sop_instance_uid for info in before}
    got = {path.stem: path.read_bytes() for path in series.files}
    assert got == {info.orthanc_id: data for info, data in before.items()}
    assert {path.suffix for path in folder.iterdir()} == {".dcm"}


@BOTH
def test_every_instance_comes_once_and_progress_counts_up(tmp_path: Path, transfer: str) -> None:
    fake = FakeOrthanc.with_series(50, transfer=transfer, connections=4)
    reports: list[tuple[int, int]] = []
    fetch(fake, tmp_path, progress=lambda done, total: reports.append((done, total)))
    assert sorted(done for done, _ in reports) == [*range(1, 51), 50]
    assert {total for _, total in reports} == {50}
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    if transfer == "pool":
        assert len(fake.alone) == 50
        assert fake.archives == []
    else:
        assert fake.alone == []
        assert sum(map(len, fake.archives)) == 50
        assert len(fake.archives) == 8


def test_each_series_is_looked_at_before_its_first_file_and_after_its_last(tmp_path: Path) -> None:
    fake = FakeOrthanc.with_series(3, transfer="pool", connections=1)
    other = orthanc_id(8)
    for number in range(10, 14):
        fake.add(number, series_id=other)
    reports: list[tuple[int, int]] = []
    found = download_series(
        cast("OrthancClient", fake),
        [fake.series_id, other],
        tmp_path,
        expected={fake.series_id: 3, other: 4},
        progress=lambda done, total: reports.append((done, total)),
        stop=threading.Event(),
    )
    assert [len(found[one].files) for one in (fake.series_id, other)] == [3, 4]
    assert fake.looks == [(fake.series_id, 0), (other, 0), (fake.series_id, 3), (other, 7)]
    assert reports == [*((done, 7) for done in range(1, 8)), (7, 7)]


def test_files_that_somebody_else_puts_there_leave_no_series_unchecked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOrthanc.with_series(6, transfer="archive", connections=1)
    (first, data), *_ = fake.files.items()

    def put_first_there(archive: bytes) -> bytes:
        (tmp_path / f"{first.orthanc_id}.dcm").write_bytes(data)
        return rewritten(archive, lambda members: [one for one in members if one != data])

    monkeypatch.setattr(fake, "bend_archive", put_first_there)
    with pytest.raises(TransientError) as caught:
        fetch(fake, tmp_path)
    assert caught.value.code == "series-changing"
    assert [series for series, _ in fake.looks] == [fake.series_id]


def test_archives_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab_side.download.download_pool.MOST_ARCHIVE_BYTES", 10_000)
    monkeypatch.setattr("lab_side.download.archive.BUFFER_BYTES", 5_000)
    fake = FakeOrthanc.with_series(20, transfer="archive", connections=1)
    fetch(fake, tmp_path)
    assert [len(batch) for batch in fake.archives] == [3] * 6 + [2]


@BOTH
def test_only_what_is_missing_is_asked_for(tmp_path: Path, transfer: str) -> None:
    fake = FakeOrthanc.with_series(10, transfer=transfer)
    fetch(fake, tmp_path)
    gone = sorted(tmp_path.iterdir())[3]
    gone.unlink()
    torn = sorted(tmp_path.iterdir())[7]
    torn.write_bytes(torn.read_bytes()[:-1])
    fake.alone.clear()
    fake.archives.clear()
    fetch(fake, tmp_path)
    assert sorted([*fake.alone, *(one for many in fake.archives for one in many)]) == sorted(
        [gone.stem, torn.stem]
    )


@BOTH
@pytest.mark.parametrize("broken", [1, 5])
def test_what_breaks_off_is_asked_for_again(tmp_path: Path, transfer: str, broken: int) -> None:
    fake = FakeOrthanc.with_series(20, transfer=transfer, connections=2)
    fake.broken_answers = broken
    fetch(fake, tmp_path)


@BOTH
def test_a_line_that_never_holds_is_unavailable(tmp_path: Path, transfer: str) -> None:
    fake = FakeOrthanc.with_series(5, transfer=transfer)
    fake.broken_answers = 10**6
    with pytest.raises(OrthancUnavailableError):
        fetch(fake, tmp_path)
    assert not list(tmp_path.glob("*.dcm"))


def test_it_is_not_tried_for_ever_with_many_instances(tmp_path: Path) -> None:
    fake = FakeOrthanc.with_series(500, transfer="pool", connections=2)
    fake.broken_answers = 10**6
    with pytest.raises(OrthancUnavailableError):
        fetch(fake, tmp_path)
    assert len(fake.alone) <= 8


def test_silence_on_every_connection_ends_it(tmp_path: Path) -> None:
    fake = FakeOrthanc.with_series(5, read_timeout=0.1)
    fake.hang = threading.Event()
    with pytest.raises(OrthancUnavailableError, match="nothing"):
        fetch(fake, tmp_path)
    fake.hang.set()


def without_first(archive: bytes) -> bytes:
    """The archive less its first member: whole, and lacking an instance."""
    return rewritten(archive, lambda members: members[1:])


def with_foreign_first(archive: bytes) -> bytes:
    """The first member is another instance of the same size."""

    def bend(members: list[bytes]) -> list[bytes]:
        return [part10("2.25.9999", members[0][-3000:]), *members[1:]]

    return rewritten(archive, bend)


def with_text_first(archive: bytes) -> bytes:
    """The first member is no DICOM file."""
    return rewritten(archive, lambda members: [b"x" * len(members[0]), *members[1:]])


def doubled_first(archive: bytes) -> bytes:
    """The first member stands in the place of the second, too."""
    return rewritten(archive, lambda members: [members[0], members[0], *members[2:]])


def spoilt(archive: bytes) -> bytes:
    """A bit flips within the first member."""
    at = archive.index(b"PK\x01\x02") // (2 * archive.count(b"PK\x03\x04"))
    return archive[:at] + bytes([archive[at] ^ 0x10]) + archive[at + 1 :]


def endless(archive: bytes) -> bytes:
    """Far more than was asked for."""
    return archive + b"\0" * 3_000_000


def rewritten(archive: bytes, bend: Callable[[list[bytes]], list[bytes]]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        members = [source.read(name) for name in source.namelist()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for number, data in enumerate(bend(members)):
            target.writestr(f"{NAME_IN_ARCHIVE}/{number:06}.dcm", data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "bend",
    [
        lambda archive: archive[: len(archive) // 2],
        lambda archive: archive[:-1],
        lambda _archive: b"",
        lambda _archive: b"<html>Sign in</html>",
        without_first,
        with_foreign_first,
        with_text_first,
        doubled_first,
        spoilt,
        endless,
    ],
)
def test_what_an_archive_lacks_comes_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bend: Callable[[bytes], bytes]
) -> None:
    fake = FakeOrthanc.with_series(20, transfer="archive", connections=2)
    monkeypatch.setattr(fake, "bend_archive", bend)
    fetch(fake, tmp_path)
    assert 4 <= len(fake.alone) <= 20


@pytest.mark.parametrize(
    "error",
    [
        OrthancRefusedError("No archives here (HTTP 405)."),
        FixConfigurationError("No right to archives (HTTP 403).", code="orthanc-credentials"),
    ],
)
def test_an_orthanc_without_archives_gives_one_by_one(tmp_path: Path, error: SegRelayError) -> None:
    fake = FakeOrthanc.with_series(20, transfer="archive")
    fake.archive_error = error
    fetch(fake, tmp_path)
    assert len(fake.alone) == 20


def test_the_patients_name_stays_in_the_archive(tmp_path: Path) -> None:
    fetch(FakeOrthanc.with_series(5, transfer="archive"), tmp_path)
    assert not any("Zebrafinch" in str(path) for path in tmp_path.rglob("*"))


@BOTH
def test_md5_is_compared_where_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transfer: str
) -> None:
    fake = FakeOrthanc.with_series(5, transfer=transfer, verify_md5=True)
    fetch(fake, tmp_path / "right")
    monkeypatch.setattr(fake, "instance_md5", lambda _instance_id: "0" * 32)
    with pytest.raises(OrthancUnavailableError, match="MD5"):
        fetch(fake, tmp_path / "wrong")
    assert not list((tmp_path / "wrong").glob("*.dcm"))


@BOTH
@pytest.mark.parametrize("change", ["add", "delete", "replace"])
def test_a_series_that_changes_meanwhile_is_noticed(
    tmp_path: Path, transfer: str, change: str
) -> None:
    fake = FakeOrthanc.with_series(30, transfer=transfer, connections=1)
    changes: dict[str, Callable[[], object]] = {
        "add": lambda: fake.add(99),
        "delete": lambda: fake.files.pop(list(fake.files)[-1]),
        "replace": lambda: fake.replace(next(iter(fake.files))),
    }

    def change_once(done: int, _total: int) -> None:
        if done == 1:
            changes[change]()

    with pytest.raises(TransientError) as caught:
        fetch(fake, tmp_path, progress=change_once)
    assert caught.value.code == "series-changing"


def test_a_series_that_is_short_or_long_is_refused_before_a_byte_comes(tmp_path: Path) -> None:
    fake = FakeOrthanc.with_series(5)
    for count in (4, 6):
        with pytest.raises(SeriesRefusedError) as caught:
            fetch(fake, tmp_path, expected=count)
        assert caught.value.code == "series-incomplete"
    assert fake.alone == []


def test_a_count_that_the_series_itself_does_not_have_ends_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inventory that something before Orthanc has cut."""
    fake = FakeOrthanc.with_series(5)
    whole = fake.inventory([fake.series_id])
    monkeypatch.setattr(fake, "inventory", lambda _series_ids: whole[:2])
    with pytest.raises(UnexpectedAnswerError):
        fetch(fake, tmp_path, expected=5)
    assert fake.alone == []


def test_a_page_of_an_images_size_is_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOrthanc.with_series(2)
    original = fake._pieces
    monkeypatch.setattr(fake, "_pieces", lambda data: iter([b"<html>".ljust(len(data))]))
    with pytest.raises(OrthancUnavailableError, match="another MD5"):
        fetch(fake, tmp_path)
    monkeypatch.setattr(fake, "_pieces", original)
    fetch(fake, tmp_path)


def test_a_file_without_preamble_is_taken_as_orthanc_has_it(tmp_path: Path) -> None:
    fake = FakeOrthanc.with_series(1)
    (info,) = fake.files
    fake.files = {info: bytes(info.size_bytes)}
    fetch(fake, tmp_path)
    assert fake.alone == [info.orthanc_id]


def test_a_stop_does_not_wait_for_an_answer_that_hangs(tmp_path: Path) -> None:
    fake = FakeOrthanc.with_series(5)
    fake.hang, stop = threading.Event(), threading.Event()
    caught: list[SegRelayError] = []

    def run() -> None:
        try:
            fetch(fake, tmp_path, stop=stop)
        except SegRelayError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    stop.set()
    thread.join(HANG_S)
    assert not thread.is_alive()
    assert caught[0].code == "stopping"
    fake.hang.set()


def test_a_defect_in_a_thread_ends_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOrthanc.with_series(5)

    def broken(_instance_id: str, **_options: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(fake, "instance_pieces", broken)
    with pytest.raises(ZeroDivisionError):
        fetch(fake, tmp_path)


def probe_after(
    fake: FakeOrthanc, *, rate: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[Estimate, int]:
    """A probe that saw ``rate`` bytes per second, and how many instances it took."""
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    probe = Estimate(connections=2)
    probe.add(fake.files)
    for number, item in enumerate(fake.files, start=1):
        clock[0] += item.size_bytes / rate
        probe.note(item)
        if probe.is_due():
            return probe, number
    raise AssertionError("never due")


@pytest.mark.parametrize(
    ("ratio", "rate", "archives"),
    [
        (0.1, 2.5e6, True),
        (0.1, 25e6, True),
        (0.1, 500e6, False),
        (0.9, 2.5e6, False),
        (0.9, 25e6, False),
    ],
)
def test_archives_are_preferred_where_they_save_time(
    monkeypatch: pytest.MonkeyPatch, ratio: float, rate: float, archives: bool
) -> None:
    fake = FakeOrthanc.with_series(600, size=120_000)
    probe, seen = probe_after(fake, rate=rate, monkeypatch=monkeypatch)
    assert seen == choice_module.ROUNDS * 2
    assert not probe.is_due()
    monkeypatch.setattr(choice_module, "deflated", lambda _sample: (ratio, 100e6))
    assert probe.prefers_archives(lambda _item, size: b"\0" * size) is archives


def test_what_deflating_really_gives() -> None:
    ratio, rate = choice_module.deflated(b"\0" * 500_000)
    assert ratio < 0.01
    assert rate > 0
    assert archive_seconds(1000, 100.0, 0.5, 1e9) == 5.0
    assert archive_seconds(1000, 1e9, 0.5, 50.0) == 10.0


def test_auto_turns_to_archives_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOrthanc.with_series(60, connections=2)
    monkeypatch.setattr(Estimate, "prefers_archives", lambda _probe, _head: True)
    fetch(fake, tmp_path)
    assert choice_module.ROUNDS * 2 <= len(fake.alone) <= choice_module.ROUNDS * 2 + 2
    assert len(fake.alone) + sum(map(len, fake.archives)) == 60


def with_disk(monkeypatch: pytest.MonkeyPatch, *, total: int, free: int) -> None:
    usage = SimpleNamespace(total=total, free=free, used=total - free)
    monkeypatch.setattr("lab_side.download.files.shutil.disk_usage", lambda _folder: usage)


def test_series_that_the_disk_will_never_hold_are_refused_before_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOrthanc.with_series(5, size=10_000)
    with_disk(monkeypatch, total=52_000, free=52_000)
    with pytest.raises(SeriesRefusedError) as caught:
        fetch(fake, tmp_path)
    assert caught.value.code == "series-exceeds-disk"
    assert fake.alone == []


def test_series_without_room_wait_before_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed back, with the disk as it was: not filled to its end at every try."""
    fake = FakeOrthanc.with_series(5, size=10_000)
    with_disk(monkeypatch, total=10**9, free=LEAST_ROOM + 49_000)
    with pytest.raises(LocalDiskError, match="too full"):
        fetch(fake, tmp_path)
    assert fake.alone == []
    with_disk(monkeypatch, total=10**9, free=LEAST_ROOM + 60_000)
    fetch(fake, tmp_path)


def test_what_is_here_already_needs_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOrthanc.with_series(5, size=10_000)
    fetch(fake, tmp_path)
    with_disk(monkeypatch, total=10**9, free=LEAST_ROOM)
    fetch(fake, tmp_path)


def test_an_instance_without_end_stops_at_its_announced_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the real client: its limit is the size that the inventory has."""
    fake = FakeOrthanc.with_series(1, size=10_000)
    limits: list[int] = []

    @contextlib.contextmanager
    def endless(_instance_id: str, *, limit: int) -> Iterator[Iterator[bytes]]:
        limits.append(limit)
        raise OrthancUnavailableError("Larger than announced.", code="orthanc-answer")
        yield iter(())

    monkeypatch.setattr(fake, "instance_pieces", endless)
    with pytest.raises(OrthancUnavailableError, match="Larger than announced"):
        fetch(fake, tmp_path)
    (info,) = fake.files
    assert set(limits) == {info.size_bytes}


def test_a_series_that_is_short_is_asked_for_again_while_orthanc_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One short answer may be a cached or a cut one; two, with Orthanc there, are Orthanc's."""
    fake = FakeOrthanc.with_series(3)
    whole, asked = fake.inventory, [0]

    def short_once(series_ids: Sequence[str]) -> list[InstanceInfo]:
        asked[0] += 1
        return whole(series_ids)[: 2 if asked[0] == 1 else None]

    monkeypatch.setattr(fake, "inventory", short_once)
    fetch(fake, tmp_path, expected=3)
    assert asked[0] == 3
