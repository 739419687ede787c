"""What Orthanc, or a server before it, may answer: each has its reason and its remedy.

Where the job has failed they are in its result; where something waits, in ``lab-agent status``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from common.manifest import ResultManifest, ResultStatus, parse_result
from common.queue import JobState
from common.ulid import new_ulid
from infra.fake_gcs.messages import Answer, Request
from infra.orthanc import OrthancServer
from lab_side.agent.outbox import Trouble, read_entries, refused_folder
from lab_side.agent.status import Life
from lab_side.cli import EXIT_CONFIG
from tests.support.fast_lab import DEADLINE, FastLab, check_once, open_fast_lab
from tests.support.fast_worker import make_seg
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.lab import Lab
from tests.support.orthanc import fresh_orthanc as fresh_orthanc
from tests.support.orthanc import orthanc as orthanc
from tests.support.small_disk import fill, put_storage_on
from tests.support.small_disk import small_disk as small_disk

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


def at_series(answer: Answer) -> Ordered:
    return lambda request: answer if request.path == "/tools/bulk-content" else None


@dataclass(frozen=True, kw_only=True)
class Failing:
    """An answer for which the job fails."""

    name: str
    instead: Ordered
    code: str
    message: str
    remedy: str
    is_seg_kept: bool = True
    """Whether there was a SEG, for a person to load by hand."""


FAILING = [
    Failing(
        name="upload 404",
        instead=at_upload(Answer(status=404)),
        code="orthanc-not-found",
        message="HTTP 404",
        remedy="look in Orthanc",
    ),
    Failing(
        name="upload 413",
        instead=at_upload(Answer(status=413, body=b"<html>413</html>")),
        code="orthanc-too-large",
        message="HTTP 413",
        remedy="client_max_body_size",
    ),
    Failing(
        name="upload not JSON",
        instead=at_upload(HTML),
        code="orthanc-answer",
        message="not an Orthanc's",
        remedy="what stands between the agent and Orthanc",
    ),
    Failing(
        name="upload empty",
        instead=at_upload(EMPTY),
        code="orthanc-answer",
        message="not an Orthanc's",
        remedy="what stands between the agent and Orthanc",
    ),
    Failing(
        name="series unknown",
        instead=at_series(Answer(status=200, body=b"[]")),
        code="series-missing",
        message="Orthanc has no series",
        remedy="look in Orthanc",
        is_seg_kept=False,
    ),
    Failing(
        name="series not JSON",
        instead=at_series(HTML),
        code="orthanc-answer",
        message="not JSON",
        remedy="Check the Orthanc address",
        is_seg_kept=False,
    ),
]


@pytest.fixture
def proxy(orthanc: OrthancServer) -> Iterator[FaultProxy]:
    with fault_proxy(orthanc.url) as proxy:
        yield proxy


@pytest.fixture
def fast_lab(orthanc: OrthancServer, proxy: FaultProxy, tmp_path: Path) -> Iterator[FastLab]:
    with open_fast_lab(orthanc, tmp_path, "directory") as lab:
        lab.orthanc_url = proxy.url
        yield lab


def test_answers_for_which_the_job_fails(fast_lab: FastLab, proxy: FaultProxy) -> None:
    fast_lab.start()
    for row in FAILING:
        proxy.instead = row.instead
        job = fast_lab.submit()
        fast_lab.wait_until_settled()
        failure = result_of(fast_lab, job.job_id).failure
        assert failure is not None, row.name
        assert failure.code == row.code, row.name
        assert row.message in failure.reason, row.name
        assert row.remedy in failure.remedy, row.name
        refused = {item.job_id: item.trouble for item in fast_lab.status().refused}
        assert (job.job_id in refused) == row.is_seg_kept, row.name
        if row.is_seg_kept:
            assert_tells(refused[job.job_id], row.code, row.message, row.remedy)
            assert f"refused/{job.job_id}" in failure.remedy
    assert fast_lab.agents["lab-1"].poll() is None


def test_orthancs_full_disk_fails_no_job(fast_lab: FastLab, proxy: FaultProxy) -> None:
    proxy.instead = at_upload(DISK_FULL)
    fast_lab.start()
    job = fast_lab.submit()
    fast_lab.wait_for(lambda: waits(fast_lab) is not None, "the failure is told")
    assert_tells(
        waits(fast_lab), "orthanc-disk-full", "cannot write to its disk", "Free space on Orthanc"
    )
    assert fast_lab.status().needs_a_look
    assert fast_lab.results() == {}
    proxy.instead = lambda _request: None
    fast_lab.wait_until_settled()
    check_once(fast_lab, [job], {})
    assert not fast_lab.status().needs_a_look


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
def test_a_refused_password_ends_the_agent_and_the_seg_waits(
    fast_lab: FastLab, proxy: FaultProxy, status: int
) -> None:
    proxy.instead = at_upload(Answer(status=status))
    fast_lab.start()
    job = fast_lab.submit()
    assert fast_lab.agents["lab-1"].wait(DEADLINE) == EXIT_CONFIG
    assert_tells(waits(fast_lab), "orthanc-credentials", f"HTTP {status}", "Check the Orthanc user")
    beat = fast_lab.status().beat
    assert beat is not None
    assert beat.life is Life.STOPPED
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
    """One instance of the study comes as text of the same length."""
    with lab.orthanc.session() as session:
        instances = session.get(f"{lab.orthanc.url}/series/{lab.study.series_ids[0]}").json()
        path = f"/instances/{instances['Instances'][0]}/file"
        length = len(session.get(lab.orthanc.url + path).content)
    spoilt = Answer(headers={"Content-Type": "application/dicom"}, body=b"not DICOM."[:1] * length)
    return lambda request: spoilt if request.path == path else None


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


def assert_tells(trouble: Trouble | None, code: str, message: str, remedy: str) -> None:
    assert trouble is not None
    assert trouble.code == code
    assert message in trouble.message
    assert remedy in trouble.remedy
