"""One odd object in the queue's folder is named and passed over; the jobs beside it go on."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_side.queue_overview import overview_of
from segrelay import names, retry
from segrelay.bucket.local import LocalBucket
from segrelay.errors import ObjectRefusedError, StoreUnavailableError
from segrelay.manifest import utc_now
from segrelay.queue import AgentQueue, Reaper, SiteQueue, scan
from segrelay.queue.lease import LEASE, is_silent
from segrelay.queue.operator import OperatorQueue
from segrelay.queue.unusable import REMEMBERED, PassedOver
from tests.support.jobs import make_manifest

FAR_TIMES = [253402300810, 910692648000, 2**33, -5_000_000_000, -62_135_596_900, 0]
NOW = datetime(2026, 5, 4, tzinfo=UTC)


def far_filesystem(tmp_path: Path) -> Path:
    """A folder whose file system keeps such times; tmpfs does where ext4 does not."""
    shm = Path("/dev/shm")
    return shm if os.access(shm, os.W_OK) else tmp_path


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "queue")


@pytest.fixture
def locked_note(bucket: LocalBucket) -> Iterator[Path]:
    """A file in pending/ that not even root can move."""
    note = bucket.root / names.PENDING / "note.txt"
    note.parent.mkdir(parents=True)
    note.write_text("x")
    if subprocess.run(["chattr", "+i", note], capture_output=True, check=False).returncode:
        pytest.skip("this file system or account knows no immutable files")
    yield note
    subprocess.run(["chattr", "-i", note], check=True)


class _Refusing(LocalBucket):
    """Refuses to touch what is named in ``refused``, as another account's file is refused."""

    refused: tuple[str, ...] = ()
    moves = 0

    def _check(self, name: str) -> None:
        if any(part in name for part in self.refused):
            raise ObjectRefusedError(f"The queue directory refuses {name} (not permitted).")

    def move(self, source: str, destination: str, *, generation: int):  # type: ignore[no-untyped-def]
        self.moves += 1
        self._check(source)
        return super().move(source, destination, generation=generation)

    def read(self, name: str, *, limit: int) -> bytes:
        self._check(name)
        return super().read(name, limit=limit)


def desk_of(bucket: LocalBucket) -> AgentQueue:
    return AgentQueue(bucket, "lab-1", now=utc_now)


def look(bucket: LocalBucket, queue: AgentQueue) -> list[str]:
    """One look of an agent: the ids of the jobs it has claimed."""
    view = scan(bucket)
    for info in view.misnamed:
        queue.reject_misnamed(info)
    claims = [queue.try_claim(job) for job in view.pending]
    queue.forget_moved(view)
    return [claim.job_id for claim in claims if claim is not None]


@pytest.mark.parametrize("seconds", FAR_TIMES)
@pytest.mark.parametrize("place", ["pending/note.txt", "note.txt", "claimed/lab-9/x", "agents/x"])
@pytest.mark.process
def test_a_file_from_another_century_stops_nobody(tmp_path: Path, seconds: int, place: str) -> None:
    root = far_filesystem(tmp_path) / f"segrelay-far-{os.getpid()}-{seconds}-{place[:2]}"
    try:
        bucket = LocalBucket(root)
        job = SiteQueue(bucket).submit(make_manifest())
        odd = root / names.JOBS / place
        odd.parent.mkdir(parents=True, exist_ok=True)
        odd.write_text("x")
        os.utime(odd, (seconds, seconds))
        assert look(bucket, desk_of(bucket)) == [job.job_id]
        assert overview_of(bucket, "lab-1").claimed[0].job_id == job.job_id
    finally:
        subprocess.run(["rm", "-rf", root], check=True)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1))
def test_every_time_of_a_file_is_a_time(seconds: float) -> None:
    from segrelay.bucket.local import _time_of

    moment = _time_of(seconds)
    zones = [timezone(timedelta(hours=hours)) for hours in (-12, 14)]
    assert all(moment.astimezone(zone) == moment for zone in zones)
    if 0 <= seconds < 4e9:
        assert abs(moment.timestamp() - seconds) < 1e-3


def test_a_beat_from_the_far_future_is_no_beat() -> None:
    assert is_silent(NOW + timedelta(days=400), NOW)
    assert not is_silent(NOW + timedelta(hours=1), NOW)
    assert not is_silent(NOW - LEASE, NOW)
    assert is_silent(NOW - LEASE - timedelta(seconds=1), NOW)


@pytest.mark.process
def test_a_file_that_cannot_be_moved_is_named_and_the_job_beside_it_is_served(
    bucket: LocalBucket, locked_note: Path
) -> None:
    job = SiteQueue(bucket).submit(make_manifest())
    queue = desk_of(bucket)
    assert look(bucket, queue) == [job.job_id]
    assert [item.name for item in queue.passed_over] == [f"{names.PENDING}note.txt"]
    assert "note.txt" in queue.passed_over[0].in_words
    assert look(bucket, queue) == []
    assert bucket.list(names.REJECTED) == []


@pytest.mark.process
def test_what_can_be_moved_again_is_moved_after_the_pause(
    bucket: LocalBucket, locked_note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    queue = desk_of(bucket)
    queue._passed_over = PassedOver(lambda: clock[0])
    look(bucket, queue)
    subprocess.run(["chattr", "-i", locked_note], check=True)
    look(bucket, queue)
    assert locked_note.exists()
    clock[0] = retry.UNUSABLE_OBJECT.pause()
    look(bucket, queue)
    assert not locked_note.exists()
    assert queue.passed_over == ()
    subprocess.run(["touch", locked_note], check=True)


def test_a_job_that_cannot_be_moved_is_passed_over_with_a_pause(tmp_path: Path) -> None:
    bucket = _Refusing(tmp_path)
    first, later = (SiteQueue(bucket).submit(make_manifest()) for _ in range(2))
    bucket.refused = (first.job_id,)
    queue = desk_of(bucket)
    assert look(bucket, queue) == [later.job_id]
    tries = bucket.moves
    for _ in range(5):
        assert look(bucket, queue) == []
    assert bucket.moves == tries
    assert first.job_id in queue.passed_over[0].name


ODD: dict[str, Callable[[Path], object]] = {
    "a link to nothing": lambda folder: (folder / "link.json").symlink_to("/nowhere/at/all"),
    "a link to itself": lambda folder: (folder / "loop.json").symlink_to(folder / "loop.json"),
    "a link to a folder": lambda folder: (folder / "to.json").symlink_to("/"),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe.json"),
    "a folder for a file": lambda folder: (folder / "5-folder.json").mkdir(),
    "a folder in it": lambda folder: (folder / "a.json" / "b.json").mkdir(parents=True),
    "bytes that are no text": lambda folder: open(
        os.path.join(os.fsencode(folder), "작업.json".encode("euc-kr")), "wb"
    ).close(),
    "NFD": lambda folder: (folder / unicodedata.normalize("NFD", "작업.json")).touch(),
    "a line end": lambda folder: (folder / "a\nb.json").touch(),
    "a backslash": lambda folder: (folder / "a\\b.json").touch(),
    "a long name": lambda folder: (folder / ("x" * 250 + ".json")).touch(),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("folder", ["pending", "claimed", "claimed/lab-9", "agents", "."])
def test_what_does_not_belong_there_stops_nobody(
    bucket: LocalBucket, folder: str, make: Callable[[Path], object]
) -> None:
    site = SiteQueue(bucket)
    job, other = site.submit(make_manifest()), site.submit(make_manifest())
    place = bucket.root / names.JOBS / folder
    place.mkdir(parents=True, exist_ok=True)
    make(place)
    queue = desk_of(bucket)
    assert look(bucket, queue) == [job.job_id, other.job_id]
    Reaper(bucket, "lab-2", now=lambda: NOW, is_dead=lambda _: False).reap(scan(bucket))
    view, seen = scan(bucket), overview_of(bucket, "lab-1")
    assert len(seen.pending) == 2
    # Moved away, or named; and whatever it is called, both documents can be written.
    assert seen.odd or folder == "pending"
    assert seen.odd_total == len(view.unusable)
    assert "\n" not in "".join(seen.odd)
    seen.model_dump_json().encode()
    operator = OperatorQueue(bucket, "lab-1", is_dead=lambda _: False)
    operator.cancel(other.job_id)
    assert site.find(other).state.value == "cancelled"
    assert look(bucket, queue) == [job.job_id]


@pytest.mark.parametrize("kind", ["results", "attempts", "progress"])
def test_a_folder_where_a_document_belongs_costs_its_own_job_alone(
    bucket: LocalBucket, kind: str
) -> None:
    site = SiteQueue(bucket)
    job, other = site.submit(make_manifest()), site.submit(make_manifest())
    queue = desk_of(bucket)
    assert len(look(bucket, queue)) == 2
    document = {
        "results": names.result_object(job.job_id),
        "attempts": names.attempt_object(job.job_id, 1),
        "progress": names.progress_object(job.job_id),
    }[kind]
    (bucket.root / document).mkdir(parents=True)
    with pytest.raises(ObjectRefusedError, match=job.job_id):
        bucket.read(document, limit=10)
    reaper = Reaper(bucket, "lab-2", now=utc_now, is_dead=lambda _: False)
    settled = [item.name.job_id for item in reaper.reap(scan(bucket))]
    assert other.job_id in settled
    named = [item.name for item in reaper.passed_over]
    assert (job.job_id in settled) != any(job.job_id in name for name in named)
    assert overview_of(bucket, "lab-1").pending


def test_memory_of_what_was_passed_over_is_bounded() -> None:
    passed = PassedOver(lambda: 0.0)
    error = StoreUnavailableError("no")
    for number in range(REMEMBERED):
        assert passed.is_due(str(number))
        assert passed.note(str(number), error)
    assert not passed.is_due("one more")
    assert len(passed.objects) == REMEMBERED
    passed.keep(["7"])
    assert [item.name for item in passed.objects] == ["7"]
    assert passed.is_due("one more")


@pytest.mark.parametrize(
    "name",
    ["v1/jobs/pending/", "v1/jobs/pending//x.json", "a/./b", "a/../b", "a\\b", "a\nb", "a\x85", ""],
)
def test_names_that_no_store_can_address(name: str) -> None:
    assert not names.is_usable(name)


@given(st.text("ab0.~-_/\\\n\x00\x85é ", max_size=8))
def test_usual_names_are_known_at_sight_and_by_the_same_rule(name: str) -> None:
    parts = name.split("/")
    has_control = any(unicodedata.category(letter) == "Cc" for letter in name)
    is_path = not {"", ".", ".."}.intersection(parts)
    assert names.is_usable(name) == (is_path and not has_control and "\\" not in name)


@given(st.text())
def test_a_name_is_shown_on_one_line(name: str) -> None:
    shown = names.as_shown(name)
    assert shown.isprintable()
    assert len(shown) <= 200
    shown.encode()
