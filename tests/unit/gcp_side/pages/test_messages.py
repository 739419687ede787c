"""Whoever reads Korean is told in Korean what failed; the error's own words stay beside it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.utils.translation import gettext, override
from pydicom.dataset import Dataset
from rest_framework.test import APIClient

from gcp_side.labseg import jobs
from gcp_side.labseg.messages import (
    MEANINGS,
    UNKNOWN,
    explain,
    explain_code,
    explain_stage,
    explain_warnings,
)
from gcp_side.labseg.models import EventKind, Job, Outcome, State
from gcp_side.labseg.recognition import evidence
from gcp_side.labseg.recognition.evidence import ORDERS
from infra.error_docs.source import ErrorSource
from lab_side.agent.health.signals import Halt
from lab_side.imaging.notices import input_warnings, registration_warnings
from lab_side.imaging.read.roles import check_roles
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    ManifestRejectedError,
    OrthancUnavailableError,
    PermanentError,
)
from segrelay.manifest import AttemptOutcome, ResultStatus
from segrelay.notices import SENTENCES, WORDS, Notice, notice
from segrelay.stages import Stage
from tests.support.paths import ROOT
from tests.unit.gcp_side.fakes import FOUR, STUDY_ID, FakeAgent, FakeOrthanc, ended

pytestmark = pytest.mark.django_db(transaction=True)

API = "/api/mri/segmentation"
HANGUL = re.compile("[가-힣]")

SOURCES = (
    *("common", "gcp_side/labseg", "lab_side/agent", "lab_side/download"),
    *("lab_side/imaging", "lab_side/models/inference.py", "lab_side/worker"),
)
DOCUMENTS = ("AttemptRecord", "Failure", "Rejection")
"""What carries a code without being an error."""

OWN_COMMANDS = {
    *("job-id", "job-unknown", "job-has-result", "job-in-work"),
    *("export-exists", "seg-gone", "outbox-locked", "outbox-delivered", "output-refused"),
}
"""What only lab-agent's commands say, at the lab's own terminal."""

UNREADABLE = {"result-foreign", "result-invalid"}
"""A result with these is told as ``result-unreadable``."""

BY_VARIABLE = {
    "lab_side/imaging/read/series.py": {
        *("mixed-study", "mixed-series", "mixed-patient", "mixed-matrix"),
        "mixed-frame-of-reference",
    },
    "lab_side/agent/health/signals.py": {halt.error().code for halt in Halt},
    # These pass on the code of another error.
    **{
        f"{place}.py": set[str]()
        for place in (
            *("common/segrelay/queue/claims", "common/segrelay/queue/operator"),
            *("lab_side/agent/delivery/deliver", "lab_side/agent/health/orthanc_gate"),
            *("gcp_side/labseg/dicom/pixels", "gcp_side/labseg/jobs/selection"),
        )
    },
}
"""By file: codes that are no constants where the error is made."""


def codes_that_users_meet() -> set[str]:
    source = ErrorSource(ROOT / folder for folder in SOURCES)

    def is_met(name: str) -> bool:
        # The settings are the administrator's, and a conflict ends where it is met.
        return name in DOCUMENTS or (
            source.is_a(name, "SegRelayError")
            and not source.is_a(name, "FixConfigurationError")
            and not source.is_a(name, "QueueConflictError")
        )

    codes = {code for some in BY_VARIABLE.values() for code in some}
    codes |= {kind.code for kind in source.kinds.values() if is_met(kind.name)}
    by_variable = set()
    for given in source.given:
        if is_met(given.called):
            codes |= set(given.codes)
            if given.has_code and not given.codes:
                by_variable.add(given.path.relative_to(ROOT).as_posix())
    assert by_variable == set(BY_VARIABLE)
    return codes - {"error"}


def test_every_code_that_users_meet_has_a_meaning_and_no_other_has() -> None:
    met = codes_that_users_meet()
    assert met >= OWN_COMMANDS | UNREADABLE
    # Explanation in its place; the second is written by the site itself.
    extra = {"configuration", "result-unreadable"}
    assert (met - OWN_COMMANDS - UNREADABLE) | extra == set(MEANINGS)


def test_every_meaning_has_korean_words() -> None:
    sentences = {text for pair in (*MEANINGS.values(), UNKNOWN) for text in pair}
    words = sentences | set(evidence.SENTENCES.values()) | set(ORDERS.values())
    with override("ko"):
        assert [text for text in words if not HANGUL.search(gettext(text))] == []
        for kind in (State, EventKind, Outcome):
            assert [label for label in kind.labels if not HANGUL.search(str(label))] == []


def test_who_reads_english_is_told_the_errors_own_words() -> None:
    error = PermanentError("Slice 7 is gone.", code="missing-slice", remedy="Send slice 7.")
    for language in ("en", "en-gb", None):
        with override(language):
            told = explain(error)
            assert (told.message, told.remedy, told.detail) == (error.message, error.remedy, "")
    with override("ko"):
        told = explain(error)
        assert told.detail == "Slice 7 is gone. Send slice 7."
        assert (told.message, told.remedy) == tuple(map(gettext, MEANINGS["missing-slice"]))


def test_a_code_of_the_future() -> None:
    with override("ko"):
        told = explain_code("from-the-future", "The moon is full.", "Wait.")
        assert (told.message, told.remedy) == tuple(map(gettext, UNKNOWN))
        assert told.detail == "The moon is full. Wait."


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_wrong_setting_is_not_told(language: str) -> None:
    error = FixConfigurationError("Orthanc refuses admin7.", remedy="Ask admin7.")
    with override(language):
        told = explain(error)
        assert "admin7" not in f"{told}"
        assert told.message == gettext(MEANINGS["configuration"][0])


def test_outcomes_are_those_of_the_queue() -> None:
    assert set(Outcome.values) == {item.value for item in AttemptOutcome}


def notices_of_the_lab() -> list[Notice]:
    """One of each kind, as the worker writes them."""
    odd = {"affine": np.eye(4), "companions": 3, "has_own_frame": True}
    empty = SimpleNamespace(voxels=np.zeros((2, 2, 2)), **odd)
    other = SimpleNamespace(voxels=np.ones((2, 2, 3)), **odd)
    profile: Any = SimpleNamespace(roles=("t1", "t2"), reference_role="t1")
    volumes: Any = {"t1": empty, "t2": other}
    moves: Any = [
        SimpleNamespace(role="t2", shift_mm=1.5, turn_degrees=2.0, kept=kept)
        for kept in (True, False)
    ]
    return [
        *input_warnings(volumes, profile),
        *registration_warnings(moves, "t1"),
        *doubts_about_roles(),
        notice("report-not-stored", text="The report: Orthanc refuses it.", why="orthanc-refused"),
    ]


def doubts_about_roles() -> tuple[Notice, ...]:
    """All at once: phases that are one scan, before contrast brighter than after it."""
    before = np.random.default_rng(1).normal(100, 1, (30, 30, 30)).astype(np.float32)
    before[12:18, 12:18, 12:18] += 300
    roles = ("dce-0", "dce-1", "dce-2")
    headers = {role: Dataset() for role in roles}
    headers["dce-0"].ContrastBolusAgent = "Agent"
    headers["dce-1"].InversionTime = 2000
    kinds = ("DIXON\\WATER", "DIXON\\FAT", "DIXON\\FAT\\SUB")
    for place, role in enumerate(roles):
        headers[role].TriggerTime = (3, 2, 1)[place]
        headers[role].TemporalPositionIdentifier = (1, 1, 2)[place]
        headers[role].EchoTime = (5, 90, 90)[place]
        headers[role].RepetitionTime = (5, 5, 500)[place]
        headers[role].ImageType = f"DERIVED\\PRIMARY\\{kinds[place]}"
    rules = [
        SimpleNamespace(
            role=role,
            recognition=SimpleNamespace(weighting="T1", after_contrast=phase > 0, phase=phase),
        )
        for phase, role in enumerate(roles)
    ]
    profile: Any = SimpleNamespace(role_checks="warn", inputs=rules)
    volumes: Any = {
        role: SimpleNamespace(voxels=before, headers=[header]) for role, header in headers.items()
    }
    after = np.full_like(before, 100) + np.random.default_rng(2).normal(0, 1, before.shape)
    sampled = {role: after.astype(np.float32) for role in roles} | {"dce-0": before}
    return check_roles(volumes, sampled, profile)


def test_every_notice_of_the_lab_is_shown_in_korean() -> None:
    notices = notices_of_the_lab()
    assert len({item.code for item in notices}) == 18
    texts, kept = [item.text for item in notices], [item.model_dump() for item in notices]
    with override("en"):
        assert explain_warnings(texts, kept) == texts
    with override("ko"):
        shown = explain_warnings(texts, kept)
        assert [text for text in shown if not HANGUL.search(text)] == []
        assert shown[-1].endswith(gettext(MEANINGS["orthanc-refused"][0]))


@pytest.mark.parametrize(
    "kept",
    [
        # An older agent writes none, a newer one may know more, and anybody may write nonsense.
        [],
        [{"code": "from-the-future", "parameters": {"role": "t1"}, "text": "Something new."}],
        [{"code": "resampled", "parameters": {"series": "t1"}, "text": "Something new."}],
        [{"code": "moved", "parameters": {"shift_mm": "t1"}, "text": "Something new."}],
        [{"code": "resampled", "parameters": {"role": "Hong^Gildong"}, "text": "Something new."}],
        [7],
        "nonsense",
    ],
)
def test_a_note_without_a_known_code_stays_in_english(kept: object) -> None:
    with override("ko"):
        assert explain_warnings(["Something new."], kept) == ["Something new."]


def test_every_sentence_of_the_lab_has_korean_words() -> None:
    with override("ko"):
        sentences = [*SENTENCES.values(), *WORDS.values(), *(stage.sentence for stage in Stage)]
        assert [text for text in sentences if not HANGUL.search(gettext(text))] == []
    assert not set(SENTENCES) & set(MEANINGS)


def test_a_stage_of_the_future() -> None:
    with override("en"):
        assert explain_stage("dreaming") == "working (dreaming)"
        assert explain_stage("") == explain_stage(Stage.CLAIMED) == "starting"


def get(client: APIClient, path: str, status: int = 200) -> Any:
    answer: Any = client.get(f"{API}/{path}", HTTP_ACCEPT_LANGUAGE="ko")
    assert answer.status_code == status, answer.content
    return answer.json()


def is_korean(text: str) -> bool:
    """Korean but for names, times and codes of the field."""
    return HANGUL.search(text) is not None and not re.search(r"\b(the|is|not|of)\b", text)


def submitted(orthanc: FakeOrthanc) -> Job:
    return jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)


class TestKoreanAnswers:
    """REST, with ``Accept-Language: ko``."""

    def test_refusals(
        self, client: APIClient, orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused = [get(client, "status/x/", 404), get(client, "requests/?state=x", 400)]

        def fail() -> None:
            raise OrthancUnavailableError("Orthanc did not answer (time-out).")

        monkeypatch.setattr(orthanc, "study_ids", fail)
        refused.append(get(client, "studies/", 503))
        for answer in refused:
            assert is_korean(answer["error"])
            assert is_korean(answer["remedy"])
            assert answer["detail"]
            assert not HANGUL.search(answer["detail"])

    def test_refusals_of_the_framework(self, orthanc: FakeOrthanc) -> None:
        assert is_korean(get(APIClient(), "agents/", 403)["error"])

    @pytest.mark.parametrize("body", ["{" + " " * 300_000 + "}", "[" * 100_000])
    def test_refused_bodies(self, client: APIClient, orthanc: FakeOrthanc, body: str) -> None:
        answer: Any = client.post(
            f"{API}/studies/{STUDY_ID}/segment/",
            body,
            content_type="application/json",
            HTTP_ACCEPT_LANGUAGE="ko",
        )
        assert is_korean(answer.json()["error"])

    def test_a_failed_job_and_its_history(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submitted(orthanc)
        claim = agent.claim()[0]
        died = AttemptFailedError("The worker process ended by itself.", code="worker-died")
        agent.queue.fail_attempt(claim, died, started=False, max_attempts=3)
        jobs.sync_all()
        again = agent.claim()[0]
        agent.queue.finish(again, ended(job.pk, ResultStatus.FAILED))
        told = get(client, f"status/{job.pk}/")
        assert is_korean(told["status_text"])
        assert told["error"] == told["failure"]["reason"]
        assert is_korean(told["failure"]["reason"])
        assert is_korean(told["failure"]["remedy"])
        assert told["failure"]["detail"] == "A slice is missing. Send it."
        events = get(client, f"requests/{job.pk}/events/")["events"]
        texts = {event["kind"]: event["text"] for event in events}
        assert texts["attempt-ended"] == "실패: 분할 프로그램이 스스로 종료되었습니다."
        assert is_korean(texts["failed"])
        details = [event["detail"] for event in events]
        assert "The worker process ended by itself." in details

    def test_a_rejected_job(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        job = submitted(orthanc)
        agent.queue.reject(agent.claim()[0], ManifestRejectedError("Too new.", code="schema-newer"))
        told = get(client, f"status/{job.pk}/")
        assert is_korean(told["status_text"])
        assert is_korean(told["failure"]["reason"])

    def test_the_evidence_for_roles(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        roles = get(client, f"studies/{STUDY_ID}/")["roles"]
        assert len(roles) == 4
        for role in roles:
            assert is_korean(role["evidence"])

    def test_health(
        self, client: APIClient, orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise OrthancUnavailableError("Orthanc did not answer.")

        monkeypatch.setattr(orthanc, "ping", fail)
        assert is_korean(get(client, "health/")["orthanc"])
