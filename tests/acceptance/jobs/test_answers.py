"""What Orthanc, or a server before it, may answer: each has its reason and its remedy.

Where the job has failed they are in its result; where something waits, in ``lab-agent status``.
What a server before Orthanc answers costs no job, no SEG and no process.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from infra.fake_gcs.messages import Answer, Request
from infra.servers.orthanc import OrthancServer
from lab_side.agent.delivery.outbox import Trouble, read_entries, refused_folder
from lab_side.commands.console import EXIT_CONFIG
from segrelay.manifest import AttemptOutcome, ResultManifest, ResultStatus, parse_result
from segrelay.queue import JobState, Life
from segrelay.queue.view import read_heartbeat
from segrelay.ulid import new_ulid
from tests.support.lab.fast_lab import DEADLINE, FastLab, attempts, check_once, open_fast_lab
from tests.support.lab.fast_worker import make_seg
from tests.support.lab.lab import Lab
from tests.support.lab.small_disk import fill, put_storage_on
from tests.support.lab.small_disk import small_disk as small_disk
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy
from tests.support.servers.orthanc import fresh_orthanc as fresh_orthanc
from tests.support.servers.orthanc import orthanc as orthanc

HTML = Answer(headers={"Content-Type": "text/html"}, body=b"<html>Please sign in</html>")
EMPTY = Answer()
"""What Orthanc answers to a multipart upload."""

DISK_FULL = Answer(
    status=500,
    headers={"Content-Type": "application/json"},
    body=json.dumps({"Message": "Cannot write to file", "OrthancStatus": 14}).encode(),
)

Ordered = Callable[[Request], Answer | None]


def at_upload(answer: Answer) -> Ordered:
    return lambda request: (
        answer if (request.method, request.path) == ("POST", "/instances") else None
    )


def without_series(request: Request) -> Answer | None:
    """Orthanc's own words, in every way to ask, where it holds none of the series."""
    headers = {"Content-Type": "application/json"}
    if request.path == "/tools/bulk-content":
        return Answer(headers=headers, body=b"[]")
    if request.path.startswith("/series/"):
        body = json.dumps({"HttpStatus": 404, "OrthancError": "Unknown resource"}).encode()
        return Answer(status=404, headers=headers, body=body)
    return None


@dataclass(frozen=True, kw_only=True)
class Passing:
    """An answer during which the job, or its SEG, waits."""

    name: str
    instead: Ordered
    code: str
    message: str
    remedy: str


def at_all(answer: Answer) -> Ordered:
    return lambda _request: answer


def at_all_but_system(answer: Answer) -> Ordered:
    return lambda request: None if request.path == "/system" else answer


def at_files(answer: Answer) -> Ordered:
    return lambda request: answer if request.path.endswith("/file") else None


LOGIN = "Check the Orthanc address, and what is before Orthanc"
AT_UPLOAD = [
    Passing(
        name="upload 404",
        instead=at_upload(Answer(status=404)),
        code="orthanc-answer",
        message="HTTP 404",
        remedy=LOGIN,
    ),
    Passing(
        name="upload 413",
        instead=at_upload(Answer(status=413, body=b"<html>413</html>")),
        code="orthanc-too-large",
        message="HTTP 413",
        remedy="client_max_body_size",
    ),
    Passing(
        name="upload not JSON",
        instead=at_upload(HTML),
        code="orthanc-answer",
        message="an HTML page where Orthanc should answer",
        remedy=LOGIN,
    ),
    Passing(
        name="upload empty",
        instead=at_upload(EMPTY),
        code="orthanc-answer",
        message="an empty answer where Orthanc should answer",
        remedy=LOGIN,
    ),
    Passing(
        name="upload 403",
        instead=at_upload(Answer(status=403)),
        code="orthanc-credentials",
        message="HTTP 403",
        remedy="Check the Orthanc user",
    ),
    Passing(
        name="everything a page",
        instead=at_all(HTML),
        code="orthanc-answer",
        message="an HTML page where Orthanc should answer",
        remedy=LOGIN,
    ),
    Passing(
        name="read back a page",
        instead=at_files(HTML),
        code="orthanc-answer",
        message="an HTML page where Orthanc should answer",
        remedy=LOGIN,
    ),
]
"""While a SEG waits."""

PROXY_STATUS = (302, 303, 307, 401, 403, 404, 405, 407, 410, 418, 451, 499, 501, 520, 526)
BEFORE_ALL = [
    *(Answer(status=status, headers=HTML.headers, body=HTML.body) for status in PROXY_STATUS),
    HTML,
    EMPTY,
    Answer(headers={"Content-Type": "application/json"}, body=b'{"error": "login required"}'),
    Answer(headers={"Content-Type": "application/json"}, body=b"null"),
    Answer(body=b"<html>a page of no type"),
]
"""What a proxy, a login page or a firewall answers in Orthanc's place."""

PAGE_404 = Answer(status=404, headers=HTML.headers, body=HTML.body)


@pytest.fixture
def proxy(orthanc: OrthancServer) -> Iterator[FaultProxy]:
    with fault_proxy(orthanc.url) as proxy:
        yield proxy


@pytest.fixture
def fast_lab(orthanc: OrthancServer, proxy: FaultProxy, tmp_path: Path) -> Iterator[FastLab]:
    with open_fast_lab(orthanc, tmp_path, "directory") as lab:
        lab.orthanc_url = proxy.url
        yield lab


def test_a_series_that_orthanc_itself_does_not_have_fails_the_job(
    fast_lab: FastLab, proxy: FaultProxy
) -> None:
    proxy.instead = without_series
    fast_lab.start()
    job = fast_lab.submit()
    fast_lab.wait_until_settled()
    failure = result_of(fast_lab, job.job_id).failure
    assert failure is not None
    assert (failure.code, "look in Orthanc" in failure.remedy) == ("series-missing", True)
    assert any(path.startswith("/series/") for _, path in proxy.requests)
    assert fast_lab.agents["lab-1"].poll() is None


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(AT_UPLOAD[1:3], id="some"),
        pytest.param(AT_UPLOAD, id="all", marks=pytest.mark.long),
    ],
)
def test_answers_during_which_a_seg_waits(
    fast_lab: FastLab, proxy: FaultProxy, rows: list[Passing]
) -> None:
    fast_lab.start()
    jobs = []
    for row in rows:
        proxy.instead = at_upload(Answer(status=503))
        jobs.append(fast_lab.submit())
        fast_lab.wait_for(lambda: waits(fast_lab) is not None, f"{row.name}: a SEG waits")
        proxy.instead = row.instead
        fast_lab.wait_for(lambda: tells_code(fast_lab, row.code), f"{row.name}: its code is told")  # noqa: B023
        assert_tells(waits(fast_lab), row.code, row.message, row.remedy)
        assert fast_lab.status().refused == ()
        proxy.instead = lambda _request: None
        fast_lab.wait_until_settled()
    check_once(fast_lab, jobs, {})
    assert fast_lab.agents["lab-1"].poll() is None


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([PAGE_404, HTML], id="some"),
        pytest.param(BEFORE_ALL, id="all", marks=pytest.mark.long),
    ],
)
def test_answers_before_everything_cost_no_job(
    fast_lab: FastLab, proxy: FaultProxy, answers: list[Answer]
) -> None:
    fast_lab.start()
    jobs = [fast_lab.submit()]
    fast_lab.wait_until_settled()
    for answer in answers:
        for everything in (at_all, at_all_but_system):
            proxy.instead = everything(answer)
            jobs.append(fast_lab.submit())
            fast_lab.wait_for(lambda: reason(fast_lab) != "", "the heartbeat tells why", 30)
            proxy.instead = lambda _request: None
            fast_lab.wait_until_settled()
            fast_lab.wait_for(lambda: reason(fast_lab) == "", "it listens again", 30)
    check_once(fast_lab, jobs, {})
    assert {item.outcome for job in jobs for item in attempts(fast_lab, job)} <= {
        AttemptOutcome.HANDED_BACK
    }
    assert fast_lab.agents["lab-1"].poll() is None


def test_a_token_in_a_file_is_read_again_when_it_is_refused(
    orthanc: OrthancServer, fast_lab: FastLab, proxy: FaultProxy
) -> None:
    """As Cloud Run and IAP have them: each lives for an hour, and a timer renews the file."""
    token, file = ["one"], fast_lab.folder / "token"
    basic = b64encode(f"{orthanc.user}:{orthanc.password}".encode()).decode()

    def guarded(request: Request) -> Answer | None:
        if request.headers.get("authorization") != f"Bearer {token[0]}":
            return Answer(status=401)
        return None

    proxy.instead, proxy.forwarded = guarded, {"authorization": f"Basic {basic}"}
    fast_lab.queue.environment.update(
        SEGRELAY_ORTHANC_USER="",
        SEGRELAY_ORTHANC_PASSWORD="",
        SEGRELAY_ORTHANC_TOKEN_FILE=str(file),
    )
    file.write_text("one\n")
    fast_lab.start()
    jobs = []
    for name in ("one", "two", "three"):
        token[0] = name
        file.write_text(f"{name}\n")
        jobs.append(fast_lab.submit())
        fast_lab.wait_until_settled()
    check_once(fast_lab, jobs, {})
    assert not any(attempts(fast_lab, job) for job in jobs), "no job was handed back for it"
    assert "three" not in fast_lab.log("lab-1").read_text()


def test_orthancs_full_disk_fails_no_job(fast_lab: FastLab, proxy: FaultProxy) -> None:
    proxy.instead = at_upload(DISK_FULL)
    fast_lab.start()
    job = fast_lab.submit()
    fast_lab.wait_for(lambda: waits(fast_lab) is not None, "the failure is told")
    assert_tells(
        waits(fast_lab), "orthanc-disk-full", "cannot write to its disk", "Free space on Orthanc"
    )
    assert fast_lab.status().needs_attention
    assert fast_lab.results() == {}
    proxy.instead = lambda _request: None
    fast_lab.wait_until_settled()
    check_once(fast_lab, [job], {})
    assert not fast_lab.status().needs_attention


@pytest.mark.parametrize("index_too", [False, True], ids=["files", "files and index"])
def test_a_real_orthanc_on_a_real_full_disk(
    fresh_orthanc: OrthancServer, small_disk: Path, tmp_path: Path, index_too: bool
) -> None:
    """With its index on the full disk as well, Orthanc speaks of SQLite and not of space."""
    put_storage_on(fresh_orthanc, small_disk, index_too=index_too)
    with open_fast_lab(fresh_orthanc, tmp_path, "directory") as lab:
        lab.start()
        lab.wait_for(lambda: lab.is_serving("lab-1"), "the agent serves")
        filler = fill(small_disk, 0)
        job = lab.submit()
        lab.wait_for(lambda: waits(lab) is not None, "the failure is told")
        if not index_too:
            assert_tells(
                waits(lab), "orthanc-disk-full", "cannot write to its disk", "Free space on Orthanc"
            )
        assert lab.results() == {}
        filler.unlink()
        lab.wait_until_settled()
        check_once(lab, [job], {})


@pytest.mark.parametrize("status", [401, 403])
def test_a_password_that_stays_refused_ends_the_agent_and_the_seg_waits(
    fast_lab: FastLab, proxy: FaultProxy, status: int
) -> None:
    fast_lab.settings["lab-1"] = "patience_minutes = 0.03"
    proxy.instead = at_upload(Answer(status=status))
    fast_lab.start()
    job = fast_lab.submit()
    assert fast_lab.agents["lab-1"].wait(DEADLINE) == EXIT_CONFIG
    assert_tells(waits(fast_lab), "orthanc-credentials", f"HTTP {status}", "Check the Orthanc user")
    heartbeat = fast_lab.status().beat
    assert heartbeat is not None
    assert heartbeat.life is Life.STOPPED
    assert "remedy: Check the Orthanc user" in fast_lab.log("lab-1").read_text()
    assert fast_lab.results() == {}
    proxy.instead = lambda _request: None
    fast_lab.start()
    fast_lab.wait_until_settled()
    check_once(fast_lab, [job], {})


def test_i3_other_bytes_of_the_same_job_stay_and_are_the_result(fast_lab: FastLab) -> None:
    job_id = new_ulid()
    first = store_before(fast_lab, job_id, ContentLabel="FIRST")
    fast_lab.start()
    fast_lab.submit(job_id)
    fast_lab.wait_until_settled()
    result = result_of(fast_lab, job_id)
    assert result.status is ResultStatus.SUCCEEDED
    assert result.seg is not None
    assert result.seg.sha256 == hashlib.sha256(first).hexdigest()


def test_foreign_bytes_under_the_segs_uid_fail_the_job(fast_lab: FastLab) -> None:
    job_id = new_ulid()
    store_before(fast_lab, job_id, ContentDescription="somebody else's")
    fast_lab.start()
    fast_lab.submit(job_id)
    fast_lab.wait_until_settled()
    failure = result_of(fast_lab, job_id).failure
    assert failure is not None
    assert (failure.code, "foreign instance" in failure.reason) == (
        "orthanc-foreign-instance",
        True,
    )
    assert "Look at that instance in Orthanc" in failure.remedy
    (kept,) = read_entries(refused_folder(fast_lab.home("lab-1")))
    assert_tells(kept.refusal, "orthanc-foreign-instance", "foreign", "Look at that instance")


def test_a_file_that_is_not_dicom_is_refused_by_the_worker(lab: Lab) -> None:
    """Of the right length, so that only who opens it can tell."""
    with fault_proxy(lab.orthanc.url) as proxy:
        proxy.instead = spoil_one_file(lab)
        name = lab.submit()
        ended = lab.start_agent("once", SEGRELAY_ORTHANC_URL=proxy.url)
        assert ended.wait(DEADLINE) == 0
    where = lab.where(name)
    assert where.state is JobState.FAILED
    assert where.result is not None
    failure = where.result.failure
    assert failure is not None
    assert (failure.code, failure.remedy) == (
        "unreadable-instance",
        "Send the series to Orthanc again; the stored copy is damaged.",
    )
    assert "not a readable DICOM instance" in failure.reason
    assert lab.stored_segs() == []


def spoil_one_file(lab: Lab) -> Ordered:
    """One instance of the study is text of the same length, also by Orthanc's checksum."""
    with lab.orthanc.session() as session:
        instances = session.get(f"{lab.orthanc.url}/series/{lab.study.series_ids[0]}").json()
        path = f"/instances/{instances['Instances'][0]}/file"
        length = len(session.get(lab.orthanc.url + path).content)
    text = b"n" * length
    answers = {
        path: Answer(headers={"Content-Type": "application/dicom"}, body=text),
        path.removesuffix("file") + "attachments/dicom/md5": Answer(
            body=hashlib.md5(text).hexdigest().encode()
        ),
    }
    return lambda request: answers.get(request.path)


def store_before(lab: FastLab, job_id: str, **attributes: str) -> bytes:
    """Put into Orthanc what has the UID of the job's SEG, and other bytes."""
    seg = pydicom.dcmread(BytesIO(make_seg(lab.folder / "study/0/0000.dcm", job_id)))
    for keyword, value in attributes.items():
        setattr(seg, keyword, value)
    buffer = BytesIO()
    seg.save_as(buffer)
    with lab.orthanc.session() as session:
        answer = session.post(f"{lab.orthanc.url}/instances", data=buffer.getvalue())
    assert answer.json()["Status"] == "Success"
    return buffer.getvalue()


def result_of(lab: FastLab, job_id: str) -> ResultManifest:
    return parse_result(lab.results()[job_id])


def waits(lab: FastLab) -> Trouble | None:
    """Why the one SEG that waits does."""
    waiting = lab.status().waiting
    return waiting[0].trouble if waiting else None


def tells_code(lab: FastLab, code: str) -> bool:
    trouble = waits(lab)
    return trouble is not None and trouble.code == code


def reason(lab: FastLab) -> str:
    """Why the agent does not listen, as its heartbeat tells."""
    seen = read_heartbeat(lab.bucket, "lab-1")
    return "" if seen is None or seen.heartbeat.state == "starting" else seen.heartbeat.reason


def assert_tells(trouble: Trouble | None, code: str, message: str, remedy: str) -> None:
    assert trouble is not None
    assert trouble.code == code
    assert message in trouble.message
    assert remedy in trouble.remedy
