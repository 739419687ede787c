"""Whatever lies in the queue: no crash, no path outside the work folder, no other host.

Each example is put where a job waits, then claimed, opened and fetched by the agent's own
pipeline; Orthanc is a recorder below the real client.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3 import HTTPConnectionPool, HTTPResponse

from infra.fake_gcs.errors import ApiError
from lab_side.agent.attempts import Attempts
from lab_side.agent.delivery.outbox import Outbox
from lab_side.agent.folders import WorkFolders
from lab_side.agent.health.signals import Signals
from lab_side.agent.pipeline import Pipeline
from lab_side.agent.reporting.counters import Counters
from lab_side.agent.reporting.status_board import StatusBoard
from lab_side.settings.config import PACKAGED_PROFILES
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import SegRelayError
from segrelay.manifest import Rejection, ResultStatus, parse_job_manifest, parse_result
from segrelay.names import JobName
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.profiles import load_profile
from segrelay.queue import AgentQueue, Claim, Reaper, scan
from tests.support.jobs import NOW, make_identity, make_manifest, orthanc_id
from tests.support.simulator.clock import Clock
from tests.support.simulator.stores import CloudStore
from tests.support.simulator.weather import Weather

EXAMPLES = settings().max_examples
"""Of each of the four kinds of manifest; with ``--long`` many more."""

FIELDS = 10
"""So many manifests at least come of one example of :func:`check_replaced`."""

ORTHANC = "http://127.0.0.1:9"
STUDY = orthanc_id(99)
JOB = JobName(priority=5, job_id="01" + "a" * 24, profile="demo", fence=0)
_IMAGE = b"image"
_ID = "[0-9a-f-]{44}"
_PATH = re.compile(
    rf"/(tools/bulk-content|series/{_ID}|instances/{_ID}/(file|attachments/dicom/md5))"
)


class Recorder(HTTPConnectionPool):
    """Stands below the Orthanc client's transport; knows every series it is asked for."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 9)
        self.requests: list[str] = []

    def urlopen(  # type: ignore[override]
        self, _method: str, url: str, body: bytes | None, *_arguments: Any, **_options: Any
    ) -> HTTPResponse:
        self.requests.append(url)
        answer = self._answer(url, body)
        return HTTPResponse(body=io.BytesIO(answer), status=200, preload_content=False)

    def _answer(self, path: str, body: Any) -> bytes:
        if path.endswith("/md5"):
            return hashlib.md5(_IMAGE).hexdigest().encode()
        if path.startswith("/instances/"):
            return _IMAGE
        if path.startswith("/series/"):
            return json.dumps(_series_or_study(path.removeprefix("/series/"))).encode()
        asked = json.loads(body)
        describe = _instance if "Level" in asked else _series_or_study
        return json.dumps([describe(item) for item in asked["Resources"]]).encode()


def _instance(series: str) -> dict[str, Any]:
    tags = {"SOPInstanceUID": "1.2.3"}
    place = {"ID": series, "ParentSeries": series, "Type": "Instance"}
    return {**place, "MainDicomTags": tags, "FileSize": str(len(_IMAGE))}


def _series_or_study(orthanc_id: str) -> dict[str, Any]:
    tags = {"Modality": "MR", "StudyInstanceUID": "1.2"}
    place = {"ID": orthanc_id, "Type": "Study" if orthanc_id == STUDY else "Series"}
    return {**place, "ParentStudy": STUDY, "MainDicomTags": tags, "Instances": [orthanc_id]}


class Writes:
    """Every path that the process opens for writing, makes or renames to, while it looks."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.is_looking = False
        sys.addaudithook(self._hear)

    def _hear(self, what: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_looking:
            return
        if what == "open" and isinstance(arguments[0], str) and _writes(arguments):
            self.paths.append(arguments[0])
        elif what in ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir"):
            # Relative to an open folder: shutil.rmtree, below a path that was absolute.
            paths = [str(item) for item in arguments[:2] if isinstance(item, str | Path)]
            self.paths += [path for path in paths if arguments[-1] == -1 or "/" in path]


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & 0o3)


class Opener(Pipeline):
    """The pipeline's first stage, in the caller's thread."""

    def take(self, claim: Claim) -> bool:
        """Open, check and fetch a claimed job; whether it is ready for the GPU."""
        try:
            job = self._open(claim)
            if job is None:
                return False
            self._fetch(job)
        except SegRelayError as error:
            self._finish_attempt(claim, error)
            return False
        return True


class Lab:
    """One agent's first stage over an empty queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = LocalBucket(folder / "queue")
        self.queue = AgentQueue(self.bucket, "lab-1", now=lambda: NOW)
        settings = OrthancSettings.model_validate({"url": ORTHANC, "connections": 1})
        self.client = OrthancClient(settings)
        self.recorder = Recorder()
        self.client.transport._access.pool = self.recorder
        profile = load_profile(PACKAGED_PROFILES / "demo")
        unused = cast(Any, None)
        status = StatusBoard(identity=make_identity(), version="0", profiles=("demo",))
        folders, signals = WorkFolders(folder / "home"), Signals()
        models: Any = SimpleNamespace(profiles={"demo": profile}, sha256={"demo": "0" * 64})
        self.opener = Opener(
            queue=self.queue,
            client=self.client,
            gate=unused,
            worker=unused,
            models=models,
            gpu=unused,
            breaker=unused,
            outbox=Outbox(folder / "home"),
            deliveries=unused,
            folders=folders,
            status=status,
            heartbeat=unused,
            attempts=Attempts(
                self.queue, status=status, counters=Counters(), folders=folders, signals=signals
            ),
            signals=signals,
        )

    def run(self, data: bytes) -> None:
        """Serve one manifest and judge what became of it."""
        self.recorder.requests.clear()
        self.bucket.create(JOB.pending, data)
        claim = self.queue.claim(scan(self.bucket).pending[0])
        assert claim is not None
        ready = self.opener.take(claim)
        for url in self.recorder.requests:
            assert _PATH.fullmatch(url), url
        if ready:
            assert parse_job_manifest(data).job_id == JOB.job_id
            self.queue.hand_back(claim, SegRelayError("enough"), started=False, wait=NOW - NOW)
        else:
            self._judge_refusal(data)
        self._clear()

    def _judge_refusal(self, data: bytes) -> None:
        assert not scan(self.bucket).pending
        assert not scan(self.bucket).claimed
        if self._exists(JOB.rejected):
            assert self.bucket.read(JOB.rejected, limit=10**6) == data[: 10**6 + 1]
            reason = self.bucket.read(names.reason_object(JOB.rejected), limit=10**6)
            assert Rejection.model_validate_json(reason).reason
            return
        result = parse_result(self.bucket.read(names.result_object(JOB.job_id), limit=10**6))
        assert result.status is ResultStatus.FAILED
        assert self._exists(JOB.failed)

    def _exists(self, name: str) -> bool:
        return any(info.name == name for info in self.bucket.list(name))

    def _clear(self) -> None:
        for info in self.bucket.list("v1/"):
            self.bucket.delete(info.name, generation=info.generation)


@pytest.fixture(scope="module")
def writes() -> Writes:
    return Writes()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: Writes) -> Iterator[Lab]:
    # A disk flush for each of some thousand files is not what is tested here.
    monkeypatch.setattr("os.fsync", lambda _handle: None)
    logging.getLogger("segrelay").setLevel(logging.CRITICAL)
    lab = Lab(tmp_path)
    writes.paths.clear()
    writes.is_looking = True
    try:
        yield lab
    finally:
        writes.is_looking = False
        lab.client.close()
    outside = [path for path in writes.paths if not _is_inside(path, tmp_path)]
    assert not outside
    work = {path.name for path in (tmp_path / "home").iterdir()}
    assert work <= {"jobs", "outbox", "refused"}
    assert {path.name for path in tmp_path.iterdir()} == {"queue", "home"}


def _is_inside(path: str, folder: Path) -> bool:
    # Folder handles, Hypothesis' own notes and compiled modules are no writes of the agent.
    place = Path(path).resolve()
    return place.is_relative_to(folder) or bool({".hypothesis", "__pycache__"} & {*place.parts})


NASTY_TEXT = [
    "",
    "..",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows",
    "C:\\x",
    "con",
    "a/b",
    "~root",
    "http://evil.example/series",
    "https://evil.example:8042/",
    "file:///etc/passwd",
    "gs://other/bucket",
    "@evil.example/",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "\ufeff",
    "e\u0301",
    "\uff10\uff11",
    "\n\r\t",
    "%2e%2e%2f",
    "$(reboot)",
    "x" * 5000,
    "9" * 5000,
    orthanc_id(3) + "/../../instances",
    orthanc_id(3) + "\n",
    orthanc_id(3).upper(),
    "01" + "a" * 24 + "\n",
    "2026-13-45T99:99:99Z",
    "NaN",
]
NASTY: list[Any] = [
    *NASTY_TEXT,
    None,
    True,
    0,
    -1,
    10**30,
    10**400,
    1.5,
    1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[[[[]]]]],
    {"": {"": {}}},
]

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40))
documents = st.recursive(
    scalars | st.sampled_from(NASTY),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=20) | st.sampled_from(NASTY_TEXT), inner, max_size=4)
    ),
    max_leaves=12,
)


def valid() -> dict[str, Any]:
    """A manifest that fits the profile, as JSON."""
    document: dict[str, Any] = json.loads(make_manifest(JOB.job_id).to_json())
    return document


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid manifest with one to three fields replaced, removed, added or doubled."""
    document = valid()
    for _ in range(draw(st.integers(1, 3))):
        series = document.get("series")
        inner = (
            [item for item in series if isinstance(item, dict)] if isinstance(series, list) else []
        )
        target = draw(st.sampled_from([document, *inner]))
        key = draw(st.sampled_from([*sorted(target), "orthanc_url", "output", "__proto__"]))
        if draw(st.booleans()) and key in target:
            del target[key]
        else:
            target[key] = draw(st.sampled_from(NASTY) | documents)
    text = json.dumps(document, ensure_ascii=True)
    if draw(st.booleans()):
        # The same key twice: one reader may take the first, another the last.
        key = draw(st.sampled_from(sorted(valid())))
        text = f'{{"{key}": {json.dumps(draw(st.sampled_from(NASTY)))}, {text[1:]}'
    return text.encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of a valid manifest: cut, doubled, overwritten, in another encoding."""
    data = bytearray(json.dumps(valid()).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, len(data)))
        data[at:end] = draw(st.binary(max_size=8))
    encoding = draw(st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig"]))
    if encoding == "utf-8":
        return bytes(data)
    return bytes(data).decode("latin-1").encode(encoding)


huge = st.one_of(
    st.integers(1, 60_000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.integers(1, 20_000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(1, 200_000).map(lambda size: b'{"schema_version": "1.0", "x": "' + b"y" * size),
    st.integers(1, 60_000).map(
        lambda size: b'{"schema_version": "1.0", "n": ' + b"1" * size + b"}"
    ),
    st.binary(max_size=400),
    documents.map(lambda value: json.dumps(value).encode()),
)


@given(data=mutated())
@settings(max_examples=EXAMPLES)
def check_mutated(lab: Lab, data: bytes) -> None:
    lab.run(data)


@given(data=damaged())
@settings(max_examples=EXAMPLES)
def check_damaged(lab: Lab, data: bytes) -> None:
    lab.run(data)


@given(data=huge)
@settings(max_examples=EXAMPLES)
def check_huge(lab: Lab, data: bytes) -> None:
    lab.run(data)


@given(value=documents)
@settings(max_examples=EXAMPLES // FIELDS)
def check_replaced(lab: Lab, value: Any) -> None:
    """Every field of an otherwise valid manifest in turn holds the same strange value."""
    for key in (*valid(), "series.role", "series.orthanc_id", "series.expected_instances"):
        document = valid()
        outer, _, inner = key.partition(".")
        if inner:
            document[outer][0][inner] = value
        else:
            document[outer] = value
        lab.run(json.dumps(document).encode())


@pytest.mark.parametrize("check", [check_mutated, check_damaged, check_huge, check_replaced])
def test_fuzzed_manifests_end_refused_or_valid(lab: Lab, check: Callable[[Lab], None]) -> None:
    check(lab)


def test_a_valid_manifest_is_fetched(lab: Lab) -> None:
    """Or the tests above would show nothing."""
    lab.run(json.dumps(valid()).encode())
    assert "/tools/bulk-content" in lab.recorder.requests


odd_names = st.one_of(
    st.text(min_size=1, max_size=60),
    st.text(alphabet="./\\~-0a\x00 ", min_size=1, max_size=12),
    st.sampled_from(NASTY_TEXT[1:]),
    st.sampled_from(["5-../../x~demo~0.json", "x" * 250, "x" * 900, "a/", "con.json", ".json"]),
    st.text(min_size=1, max_size=12).map(lambda text: JOB.file_name.replace("demo", text)),
)
folders = st.sampled_from([names.PENDING, f"{names.CLAIMED}lab-9/", names.CLAIMED, names.AGENTS])


def look_once(bucket: Bucket) -> None:
    """What an agent does with a listing, whatever it holds."""
    queue = AgentQueue(bucket, "lab-1", now=lambda: NOW)
    view = scan(bucket)
    Reaper(bucket, "lab-1", now=lambda: NOW, is_dead=lambda _: False).reap(view)
    for info in view.misnamed:
        queue.reject_misnamed(info)


@given(folder=folders, name=odd_names)
@settings(max_examples=EXAMPLES)
def test_misnamed_objects_never_stop_an_agent(folder: str, name: str) -> None:
    store = CloudStore(
        Clock(), lambda *_: None, pause=lambda: None, weather=Weather(cast(Any, None), 0.0)
    )
    try:
        store.put(folder + name, b"{}")
    except (ApiError, UnicodeEncodeError):
        return
    look_once(store.open("lab-1"))
    left = store.names(names.PENDING)
    set_aside = store.names(names.REJECTED)
    assert left or set_aside or not folder.startswith(names.PENDING)
