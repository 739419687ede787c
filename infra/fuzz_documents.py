"""Odd documents for every reader of what others write: nothing but the programs' own errors.

    python -m infra.fuzz_documents                     20,000 documents for each reader
    python -m infra.fuzz_documents --documents 500     fewer
    python -m infra.fuzz_documents --reader result     one reader

Each document is a valid one with some mutations, or no valid one at all: nesting, sizes, types,
half characters, numbers, names that come twice, cut bytes. For each reader it prints how many
were read and refused, every other exception (there must be none), the longest time and the peak
of memory. Ends with 1 where an exception escaped or a bound was passed.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gcp_side.labseg.recognition.attributes import attributes_of
from lab_side.agent.delivery.outbox import DRAFT_FILE, TROUBLE_FILE, read_entries
from lab_side.agent.health import control
from segrelay import names
from segrelay.bucket import ObjectInfo
from segrelay.bucket.local import LocalBucket
from segrelay.errors import SegRelayError
from segrelay.manifest import parse_job_manifest, parse_result, utc_now
from segrelay.names import JobName
from segrelay.orthanc import answers
from segrelay.parsing.json_reader import UnreadableJsonError, read_json
from segrelay.queue.lease import Heartbeat
from segrelay.queue.records import read_attempt, read_result
from segrelay.queue.rejections import RejectedJob, read_rejection
from segrelay.queue.site import read_progress
from segrelay.queue.view import read_heartbeat
from segrelay.signing import Kind, Trust, open_envelope
from segrelay.system.command_line import HelpfulParser

DOCUMENTS = 20_000

LONGEST_S = 2.0
"""Seconds of processor time for one document."""

MOST_BYTES = 64 * 1024 * 1024
"""Memory for one document of at most 1 MiB."""

JOB = "01J8ZQ3M5N6P7Q8R9S0T1V2W3X".lower()
NONCE, SHA, TIME = "0" * 32, "0" * 64, "2026-03-01T12:00:00Z"
ORTHANC = "-".join(["0123abcd"] * 5)

_TEXTS = ("", "x", "\ud800", "\udfff\ud800", "\0", "é" * 300, "[" * 4000, "a" * 100_000, "../../x")
_NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 1.5, 1e308, -0.0)
_SCALARS: tuple[Any, ...] = (*_TEXTS, *_NUMBERS, None, True, False, [], {}, [[]], {"items": 7})
_RAW = (
    *(b"", b" ", b"null", b"[]", b"{}", b'{"items": 7}', b"7", b"<html></html>", b"\xef\xbb\xbf{}"),
    *(b"[" * 3500, b"[" * 1000 + b"]" * 1000, b'{"a":' * 3500, b'"' * 70_000, b"\\" * 70_000),
    *(b"NaN", b"[Infinity]", b"[1e999]", b"9" * 5000, b'"\xff"', b"\xff\xfe{\0}\0", b"{" * 900_000),
    *(b"[" + b"{}," * 300_000 + b"0]", b"[" + b'"",' * 300_000 + b"0]", b" " * 1_100_000),
)


@dataclass(frozen=True)
class Reader:
    """One place where a document of others is read."""

    name: str
    valid: Any
    """A document that is read, as JSON values."""
    read: Callable[[bytes], object]
    """Returns None where an unreadable document counts as none; may raise SegRelayError."""


@dataclass(kw_only=True)
class Counters:
    """What became of a reader's documents."""

    read: int = 0
    refused: int = 0
    others: Counter[str] = field(default_factory=Counter)
    """Every other exception, by its name and place: there must be none."""
    longest_s: float = 0.0
    peak_bytes: int = 0

    @property
    def is_well(self) -> bool:
        """Whether all bounds held."""
        return not self.others and self.longest_s <= LONGEST_S and self.peak_bytes <= MOST_BYTES


def odd_document(valid: object, rng: random.Random) -> bytes:
    """One document: mostly the valid one with one to three mutations."""
    if rng.random() < 0.02:
        return rng.choice(_RAW)
    document = json.loads(json.dumps(valid))
    for _ in range(rng.randint(0, 3)):
        document = _mutated(document, rng)
    data = json.dumps(document, ensure_ascii=rng.random() < 0.8).encode(errors="surrogatepass")
    return _spoilt(data, rng) if rng.random() < 0.3 else data


def _mutated(document: Any, rng: random.Random) -> Any:
    """With one value, somewhere, that is another, missing, doubled, or wrapped very deep."""
    if not isinstance(document, dict | list) or not document or rng.random() < 0.15:
        return _value(document, rng)
    places = list(document) if isinstance(document, dict) else list(range(len(document)))
    place = rng.choice(places)
    kind = rng.randrange(6)
    if kind == 0:
        del document[place]
    elif kind == 1 and isinstance(document, dict):
        document[rng.choice(_TEXTS)] = deepcopy(rng.choice(_SCALARS))
    elif kind == 2 and isinstance(document, list):
        document += [document[place]] * rng.choice((1, 20, 500))
    else:
        document[place] = _mutated(document[place], rng)
    return document


def _value(before: Any, rng: random.Random) -> Any:
    if rng.random() < 0.2:
        for _ in range(rng.choice((1, 5, 20, 200))):
            before = [before] if rng.random() < 0.5 else {"a": before}
        return before
    if isinstance(before, str) and rng.random() < 0.3:
        return before + rng.choice(_TEXTS)
    return deepcopy(rng.choice(_SCALARS))


def _spoilt(data: bytes, rng: random.Random) -> bytes:
    """Cut, doubled, with other bytes, or with a number that no writer of Python's makes."""
    place = rng.randrange(len(data) + 1)
    return rng.choice(
        (
            data[:place],
            data + data,
            data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :],
            data.replace(b"{", b'{"job_id": 1, "job_id": 2, ', 1),
            data.replace(b"1", b"1" * rng.choice((25, 400, 5000)), 1),
            data.replace(b": 1", b": NaN", 1),
            data.replace(b": 1", b": -1e999", 1),
            b"\xef\xbb\xbf" + data,
            data.decode(errors="replace").encode("utf-16"),
        )
    )


def fuzz(reader: Reader, documents: int, seed: int = 0) -> Counters:
    """Give a reader so many documents; the same seed makes the same ones."""
    rng = random.Random(f"{reader.name}/{seed}")  # noqa: S311
    tally = Counters()
    for number in range(documents):
        data = odd_document(reader.valid, rng)
        measures = number % 50 == 0
        if measures:
            tracemalloc.start()
        began = time.thread_time()
        try:
            is_read = reader.read(data) is not None
        except SegRelayError:
            is_read = False
        except Exception as error:
            is_read = False
            tally.others[f"{type(error).__name__} {_place(error)}"] += 1
        took = time.thread_time() - began
        if measures:
            tally.peak_bytes = max(tally.peak_bytes, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        else:
            tally.longest_s = max(tally.longest_s, took)
        tally.read += is_read
        tally.refused += not is_read
    return tally


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"


def readers(folder: Path) -> list[Reader]:
    """Every reader; ``folder`` is an empty one for what they read from files."""
    return [*_of_bucket(folder / "queue"), *_of_files(folder / "home"), *_of_orthanc()]


def _of_file(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    """Read ``path`` after it was given other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def replaced(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return replaced


def _of_bucket(root: Path) -> list[Reader]:
    bucket = LocalBucket(root)
    job = JobName(priority=5, job_id=JOB, profile="demo", fence=1)
    reason = names.reason_object(job.rejected)
    info = ObjectInfo(name=reason, generation=1, updated=utc_now(), size=1)
    rejected = RejectedJob(info=info, name=job, reason=info)

    def stored(name: str, read: Callable[[], object]) -> Callable[[bytes], object]:
        return _of_file(bucket.root / name, read)

    result = stored(names.result_object(JOB), lambda: read_result(bucket, JOB))
    attempt = stored(names.attempt_object(JOB, 1), lambda: read_attempt(bucket, JOB, 1))
    progress = stored(names.progress_object(JOB), lambda: read_progress(bucket, JOB))
    rejection = stored(reason, lambda: read_rejection(bucket, rejected))
    agent = stored(names.agent_object("lab-1"), lambda: read_heartbeat(bucket, "lab-1"))
    beat = {"generation": 7, "metadata": {"beat": json.dumps(HEARTBEAT)}}
    return [
        Reader("manifest", MANIFEST, parse_job_manifest),
        Reader("manifest, signed", ENVELOPE, _read_signed),
        Reader("result", RESULT, parse_result),
        Reader("result in the bucket", RESULT, result),
        Reader("attempt", ATTEMPT, attempt),
        Reader("progress", PROGRESS, progress),
        Reader("rejection", REJECTION, rejection),
        Reader("heartbeat", HEARTBEAT, _read_heartbeat_text),
        Reader("heartbeat's file", beat, agent),
    ]


def _read_signed(data: bytes) -> object:
    return parse_job_manifest(open_envelope(data, Kind.JOB, Trust.of(jobs=[], results=[])))


def _read_heartbeat_text(data: bytes) -> object:
    """As a client hands it over: text, which may hold halves of characters."""
    return Heartbeat.from_metadata({"beat": data.decode(errors="surrogateescape")})


def _of_files(home: Path) -> list[Reader]:
    entry = home / "outbox" / JOB

    def trouble() -> object:
        (entry / DRAFT_FILE).write_bytes(json.dumps(DRAFT).encode())
        return read_entries(entry.parent)[0].trouble

    pause = _of_file(home / control.PAUSE_FILE, lambda: control.standing_pause(home))
    draft = _of_file(entry / DRAFT_FILE, lambda: read_entries(entry.parent) or None)
    return [
        Reader("pause", PAUSE, pause),
        Reader("draft", DRAFT, draft),
        Reader("trouble", TROUBLE, _of_file(entry / TROUBLE_FILE, trouble)),
    ]


def _of_orthanc() -> list[Reader]:
    def answer(read: Callable[[Any], object]) -> Callable[[bytes], object]:
        def decoded(data: bytes) -> object:
            try:
                return read(read_json(data, answers.LIMITS))
            except UnreadableJsonError as error:
                answers.raise_unexpected("a document", str(error))

        return decoded

    def series(document: Any) -> object:
        return [answers.series_info(item, "1.2") for item in answers.of_kind(document, "Series")]

    inventory = answer(lambda document: answers.inventory(document, [ORTHANC]))
    ids = answer(lambda document: answers.ids(document, "a search"))
    return [
        Reader("Orthanc: inventory", [INSTANCE], inventory),
        Reader("Orthanc: series", [SERIES], answer(series)),
        Reader("Orthanc: tags", TAGS, answer(_attributes)),
        Reader("Orthanc: upload", UPLOAD, answer(answers.upload_reply)),
        Reader("Orthanc: list of ids", [ORTHANC], ids),
    ]


def _attributes(document: Any) -> object:
    tags = answers.entry(document, "tags").fields
    return attributes_of(ORTHANC, description="", number=1, instances=1, tags=tags)


INSTANCE: dict[str, Any] = {
    "ID": ORTHANC,
    "Type": "Instance",
    "ParentSeries": ORTHANC,
    "MainDicomTags": {"SOPInstanceUID": "1.2.3", "ImagePositionPatient": "1\\2\\3"},
    "FileSize": 526_000,
    "FileUuid": "5f2e",
}
SERIES: dict[str, Any] = {
    "ID": ORTHANC,
    "Type": "Series",
    "ParentStudy": ORTHANC,
    "MainDicomTags": {"Modality": "MR", "SeriesNumber": "7", "SeriesInstanceUID": "1.2"},
    "Instances": [ORTHANC],
}
TAGS: dict[str, Any] = {
    "Rows": "256",
    "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
    "AcquisitionDateTime": "20260301120000.5",
    "EchoTime": "2.3",
    "NumberOfFrames": "1",
    "SharedFunctionalGroupsSequence": [{"MREchoSequence": [{"EffectiveEchoTime": "2.3"}]}],
    "PerFrameFunctionalGroupsSequence": [
        {"PlanePositionSequence": [{"ImagePositionPatient": "1\\2\\3"}]}
    ],
}
UPLOAD = {"ID": ORTHANC, "ParentSeries": ORTHANC, "Status": "Success"}

MANIFEST: dict[str, Any] = {
    "schema_version": "1.0",
    "job_id": JOB,
    "profile": "demo",
    "priority": 5,
    "submitted_at": TIME,
    "orthanc_study_id": ORTHANC,
    "series": [{"role": "t1", "orthanc_id": ORTHANC, "expected_instances": 11}],
    "max_attempts": 3,
    "retry_of": None,
}
ENVELOPE: dict[str, Any] = {
    "segrelay_signed": 1,
    "kind": "job",
    "key": "0" * 16,
    "signature": "AA==",
    "payload": json.dumps(MANIFEST),
}
PROVENANCE: dict[str, Any] = {
    "profile": "demo",
    "profile_version": "1",
    "model_sha256": SHA,
    "device": "cpu",
    "versions": {"torch": "2.9"},
    "stage_seconds": {"fetch": 1.5},
    "series_instance_uids": ["1.2.3"],
    "flips": [[0, 1]],
}
MEASUREMENT = {"number": 1, "label": "Tumour", "voxels": 11, "volume_ml": 1.5}
RESULT: dict[str, Any] = {
    "schema_version": "1.0",
    "job_id": JOB,
    "status": "succeeded",
    "author": "lab-1",
    "nonce": NONCE,
    "attempt": 1,
    "finished_at": TIME,
    "seg": {
        "orthanc_id": ORTHANC,
        "orthanc_series_id": ORTHANC,
        "sop_instance_uid": "1.2",
        "series_instance_uid": "1.3",
        "sha256": SHA,
        "size_bytes": 11,
        "frames": 1,
    },
    "measurements": [MEASUREMENT],
    "provenance": PROVENANCE,
    "warnings": ["t1 is empty: every voxel is 0."],
}
ATTEMPT: dict[str, Any] = {
    "schema_version": "1.0",
    "job_id": JOB,
    "attempt": 1,
    "agent": "lab-1",
    "outcome": "lost",
    "code": "agent-lost",
    "reason": "It fell silent.",
    "started": True,
    "recorded_at": TIME,
    "not_before": TIME,
}
PROGRESS = {"job_id": JOB, "attempt": 1, "stage": "fetch", "percent": 10, "done": 1, "total": 11}
REJECTION = {
    "schema_version": "1.0",
    "code": "manifest-invalid",
    "reason": "It is not valid.",
    "remedy": "Submit it again.",
    "agent": "lab-1",
    "rejected_at": TIME,
}
HEARTBEAT: dict[str, Any] = {
    "identity": {"instance": NONCE, "host": "pc", "pid": 11, "pid_started": 1.5},
    "state": "listening",
    "version": "1",
    "profiles": ["demo"],
    "jobs": [PROGRESS],
    "offers": [{"name": "demo", "roles": [{"role": "t1"}]}],
}
PAUSE = {"at": TIME, "reason": "cleaning", "until": "2999-01-01T00:00:00Z"}
TROUBLE = {"code": "x", "message": "m", "remedy": "r", "tries": 1, "at": TIME}
DRAFT: dict[str, Any] = {
    "job_id": JOB,
    "claim": f"5-{JOB}~demo~1.json",
    "agent": "lab-1",
    "job_key": JOB,
    "sop_instance_uid": "1.2",
    "series_instance_uid": "1.3",
    "sha256": SHA,
    "size_bytes": 11,
    "frames": 1,
    "measurements": [MEASUREMENT],
    "provenance": PROVENANCE,
    "warnings": [],
    "report": None,
    "written_at": TIME,
}


def main() -> None:
    """Fuzz the readers and print a table."""
    parser = HelpfulParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="for each reader")
    parser.add_argument("--reader", default="", help="only those whose name begins so")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    # What the readers log of each document is not what is asked here.
    logging.disable(logging.CRITICAL)
    is_well = True
    sys.stdout.write(
        f"{'reader':24}{'read':>8}{'refused':>9}{'other':>7}{'longest':>10}{'peak':>10}\n"
    )
    with TemporaryDirectory() as folder:
        for reader in readers(Path(folder)):
            if not reader.name.startswith(asked.reader):
                continue
            tally = fuzz(reader, asked.documents, asked.seed)
            is_well &= tally.is_well
            sys.stdout.write(
                f"{reader.name:24}{tally.read:8}{tally.refused:9}{tally.others.total():7}"
                f"{tally.longest_s * 1000:7.0f} ms{tally.peak_bytes / 2**20:6.1f} MiB\n"
            )
            for what, count in tally.others.most_common(5):
                sys.stdout.write(f"    {count} x {what}\n")
            sys.stdout.flush()
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
