"""The REST endpoints beyond the old front-end's: jobs, studies, the lab; field by field."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings
from pytest_django.fixtures import DjangoAssertNumQueries
from rest_framework.test import APIClient

from gcp_side.labseg import jobs
from gcp_side.labseg.jobs import agents, sync
from gcp_side.labseg.models import Job, State
from gcp_side.labseg.orthanc.client import orthanc_id
from segrelay.bucket import Bucket
from segrelay.errors import FixConfigurationError, OrthancUnavailableError, StoreUnavailableError
from segrelay.offers import Offer, OfferedRole
from segrelay.profiles import Text
from segrelay.queue import lease, scan
from segrelay.stages import Stage
from tests.unit.gcp_side.fakes import (
    FOUR,
    OFFER,
    PATIENT_ID,
    PATIENT_NAME,
    REPORT,
    ROLES,
    STUDY_ID,
    STUDY_UID,
    FakeAgent,
    FakeOrthanc,
    first_instance,
    series_entry,
    series_id,
    study_entry,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/mri/segmentation"
UNKNOWN = "01arz3ndektsv4rrffq69g5fav"
JOB_FIELDS = {
    *("request_id", "status", "status_text", "error", "job_id", "profile", "priority", "labels"),
    *(
        "state",
        "finished",
        "agent",
        "attempt",
        "stage",
        "percent",
        "done",
        "total",
        "cancel_requested_at",
    ),
    *("missing_since", "orthanc_study_id", "study_instance_uid", "series", "seg_instance_id"),
    *("seg_sop_instance_uid", "seg_series_instance_uid", "tumour_found", "segments", "warnings"),
    *("report_instance_id", "report_sop_instance_uid", "report_series_instance_uid"),
    *("confirmed", "confirmed_by", "for_patients", "trained_on_synthetic"),
    *("provenance", "failure", "retry_of", "submitted_at", "updated_at", "finished_at"),
}
STUDY_FIELDS = {
    *("study_id", "study_instance_uid", "patient_name", "patient_id", "date", "description"),
    *("modalities", "series", "phases", "latest_request"),
}


def get(client: APIClient, path: str, *, status: int = 200, **query: Any) -> Any:
    answer: Any = client.get(f"{ROOT}/{path}", query)
    assert answer.status_code == status, answer.content
    assert answer.json()["success"] is (status == 200)
    return answer.json()


def post(client: APIClient, path: str, body: object = None, *, status: int) -> Any:
    answer: Any = client.post(f"{ROOT}/{path}", body, format="json")
    assert answer.status_code == status, answer.content
    assert answer.json()["success"] is (status < 300)
    return answer.json()


def submit(client: APIClient) -> str:
    body = {"sequence_series_ids": list(FOUR)}
    request_id: str = post(client, f"series/{FOUR[0]}/segment/", body, status=202)["request_id"]
    return request_id


@pytest.mark.usefixtures("orthanc")
class TestRequests:
    """The list, cancel, retry, events."""

    def test_newest_first_in_pages(self, client: APIClient) -> None:
        ids = sorted((submit(client) for _ in range(3)), reverse=True)
        first = get(client, "requests/", page_size=2)
        assert first.keys() == {"success", "count", "page", "page_size", "requests"}
        assert (first["count"], first["page"], first["page_size"]) == (3, 1, 2)
        assert first["requests"][0].keys() == JOB_FIELDS
        second = get(client, "requests/", page=2, page_size=2)
        shown = [item["request_id"] for item in first["requests"] + second["requests"]]
        assert shown == ids
        assert get(client, "requests/", page=3, page_size=2)["requests"] == []

    def test_filters(self, client: APIClient) -> None:
        kept, gone = submit(client), submit(client)
        jobs.cancel(gone)

        def found(**query: Any) -> list[str]:
            return [item["request_id"] for item in get(client, "requests/", **query)["requests"]]

        assert found(state="cancelled") == [gone]
        assert found(state="pending") == [kept]
        assert found(profile="demo", study=STUDY_ID) == [gone, kept]
        assert found(profile="other") == []
        assert found(study=orthanc_id("other")) == []

    @pytest.mark.parametrize(
        "query",
        [
            {"state": "odd"},
            {"study": "../x"},
            {"page": "0"},
            {"page": "-1"},
            {"page": "x"},
            {"page": "9" * 40},
            {"page": "²"},
            {"page_size": "201"},
            {"profile": "a\0b"},
        ],
    )
    def test_wrong_questions(self, client: APIClient, query: dict[str, Any]) -> None:
        assert get(client, "requests/", status=400, **query)["code"] == "query-invalid"

    def test_the_list_follows_open_jobs_with_one_listing(
        self, client: APIClient, agent: FakeAgent
    ) -> None:
        submit(client)
        submit(client)
        claim, _ = agent.claim()
        states = {
            item["request_id"]: item["status"] for item in get(client, "requests/")["requests"]
        }
        assert states[claim.job_id] == "claimed"
        assert sorted(states.values()) == ["claimed", "pending"]

    def test_a_queue_that_does_not_answer_leaves_the_list_readable(
        self, client: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submit(client)
        monkeypatch.setattr(sync, "scan", away)
        assert get(client, "requests/")["count"] == 1

    def test_the_number_of_queries_does_not_grow(
        self,
        client: APIClient,
        settings: Settings,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for _ in range(6):
            jobs.cancel(submit(client))
        client.get(f"{ROOT}/requests/")
        with django_assert_max_num_queries(4):
            get(client, "requests/")

    def test_cancel(self, client: APIClient) -> None:
        request_id = submit(client)
        answer = post(client, f"requests/{request_id}/cancel/", status=200)
        assert answer.keys() == JOB_FIELDS | {"success", "cancelled"}
        assert (answer["cancelled"], answer["status"]) == (True, "cancelled")

    def test_cancel_too_late(self, client: APIClient, agent: FakeAgent) -> None:
        request_id = submit(client)
        agent.finish(agent.claim()[0])
        answer = post(client, f"requests/{request_id}/cancel/", status=200)
        assert (answer["cancelled"], answer["status"]) == (False, "succeeded")

    def test_cancel_while_the_queue_does_not_answer(
        self, client: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request_id = submit(client)
        with monkeypatch.context() as patch:
            patch.setattr(sync, "scan", away)
            answer = post(client, f"requests/{request_id}/cancel/", status=202)
        assert answer["cancelled"] is False
        assert answer["cancel_requested_at"]
        jobs.sync_all()
        assert Job.objects.get().state == State.CANCELLED

    def test_retry(self, client: APIClient) -> None:
        old = submit(client)
        assert post(client, f"requests/{old}/retry/", status=409)["code"] == "job-open"
        jobs.cancel(old)
        first = post(client, f"requests/{old}/retry/", status=202)
        again = post(client, f"requests/{old}/retry/", {"force": True}, status=202)
        assert first.keys() == {"success", "request_id", "status", "profile", "is_new", "retry_of"}
        assert (first["is_new"], again["is_new"]) == (True, False)
        assert first["retry_of"] == old
        assert first["request_id"] == again["request_id"] != old

    def test_retry_of_what_has_succeeded_needs_force(
        self, client: APIClient, agent: FakeAgent
    ) -> None:
        old = submit(client)
        agent.finish(agent.claim()[0])
        assert post(client, f"requests/{old}/retry/", status=409)["code"] == "job-succeeded"
        assert post(client, f"requests/{old}/retry/", {"force": True}, status=202)["is_new"]
        post(client, f"requests/{old}/retry/", {"force": "yes"}, status=400)

    def test_events(self, client: APIClient, agent: FakeAgent) -> None:
        request_id = submit(client)
        agent.finish(agent.claim()[0])
        get(client, f"status/{request_id}/")
        events = get(client, f"requests/{request_id}/events/")["events"]
        assert [event["kind"] for event in events] == ["submitting", "pending", "succeeded"]
        assert events[0].keys() == {"at", "kind", "attempt", "agent", "text", "detail"}

    @pytest.mark.parametrize("junk", [UNKNOWN, "x", "..", "%00", "%2e%2e%2f", "💥"])
    def test_unknown_and_junk_ids(self, client: APIClient, junk: str) -> None:
        for method, path in (
            ("get", f"status/{junk}/"),
            ("get", f"requests/{junk}/events/"),
            ("post", f"requests/{junk}/cancel/"),
            ("post", f"requests/{junk}/retry/"),
        ):
            assert getattr(client, method)(f"{ROOT}/{path}").status_code == 404, path


def away(*_: object) -> None:
    raise StoreUnavailableError("The bucket is away.")


@pytest.mark.usefixtures("orthanc")
class TestLab:
    """Agents, profiles, health."""

    def test_nobody_ever(self, client: APIClient) -> None:
        assert get(client, "agents/") == {
            "success": True,
            "agents": [],
            "online": 0,
            "last_seen": None,
        }

    def test_an_agent_with_a_job(self, client: APIClient, agent: FakeAgent) -> None:
        submit(client)
        claim, _ = agent.claim()
        agent.heartbeat(claim=claim, offers=(OFFER,))
        answer = get(client, "agents/")
        (shown,) = answer["agents"]
        assert 0 <= shown.pop("seconds_since_beat") < 60
        assert shown.pop("last_beat") == answer["last_seen"] is not None
        assert shown == {
            "name": "lab-1",
            "online": True,
            "state": "listening",
            "reason": "",
            "device": "",
            "version": "1",
            "profiles": ["brain"],
            "labels": [],
            "jobs": [
                {
                    "request_id": claim.job_id,
                    "stage": Stage.INFER,
                    "percent": 70,
                    "done": 0,
                    "total": 0,
                }
            ],
        }
        assert answer["online"] == 1

    def test_a_paused_agent_says_why(self, client: APIClient, agent: FakeAgent) -> None:
        agent.heartbeat(state="paused", reason="Kim trains")
        (shown,) = get(client, "agents/")["agents"]
        assert (shown["online"], shown["state"], shown["reason"]) == (True, "paused", "Kim trains")

    def test_silence_by_the_stores_clock_is_absence(
        self, client: APIClient, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        agent.heartbeat()
        now = lease.store_now
        monkeypatch.setattr(
            agents, "store_now", lambda *names: now(*names) + timedelta(seconds=121)
        )
        answer = get(client, "agents/")
        assert (answer["online"], answer["agents"][0]["online"]) == (0, False)
        assert answer["last_seen"]

    def test_an_agent_that_stopped_is_absent(self, client: APIClient, agent: FakeAgent) -> None:
        agent.heartbeat(state="stopped")
        assert get(client, "agents/")["online"] == 0

    @pytest.mark.parametrize(("refresh_seconds", "look_seconds"), [(60, 0.001), (0.001, 60)])
    def test_many_who_ask_are_one_look(
        self,
        client: APIClient,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        refresh_seconds: float,
        look_seconds: float,
    ) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {"REFRESH_SECONDS": refresh_seconds}
        monkeypatch.setattr(agents, "SNAPSHOT_SECONDS", look_seconds)
        looks: list[Bucket] = []

        def count(bucket: Bucket) -> Any:
            looks.append(bucket)
            return scan(bucket)

        monkeypatch.setattr(agents, "scan", count)
        for _ in range(5):
            get(client, "agents/")
        assert len(looks) == 1

    def test_the_configured_profiles_while_nobody_is_there(self, client: APIClient) -> None:
        profiles = get(client, "profiles/")["profiles"]
        assert profiles[0] == {
            "name": "demo",
            "title": {"en": "demo", "ko": "demo"},
            "intended_use": {"en": "", "ko": ""},
            "body_part": None,
            "for_patients": True,
            "trained_on_synthetic": False,
            "roles": [{"role": role, "title": {"en": role, "ko": role}} for role in ROLES],
            "segments": [],
            "online": False,
            "default": True,
        }
        names = [item["name"] for item in profiles]
        assert names == [
            *("demo", "breast-dce", "breast-dce-swinunetr"),
            *("glioma", "brats-segresnet"),
        ]

    def test_what_living_agents_offer(self, client: APIClient, bucket: Bucket) -> None:
        demo = Offer(
            name="demo",
            roles=tuple(OfferedRole(role=role, title=Text(en="x", ko="y")) for role in ROLES),
        )
        FakeAgent(bucket, "lab-1").heartbeat(offers=(OFFER,))
        FakeAgent(bucket, "lab-2").heartbeat(offers=(demo,))
        FakeAgent(bucket, "lab-3").heartbeat(
            offers=(OFFER.model_copy(update={"name": "gone"}),), state="stopped"
        )
        brain, shown = get(client, "profiles/")["profiles"]
        assert brain == {
            "name": "brain",
            "title": {"en": "Brain", "ko": "뇌"},
            "intended_use": {"en": "Research.", "ko": "연구용."},
            "body_part": None,
            "for_patients": True,
            "trained_on_synthetic": False,
            "roles": [
                {"role": "t1", "title": {"en": "T1", "ko": "T1"}},
                {"role": "t2", "title": {"en": "t2", "ko": "t2"}},
            ],
            "segments": [
                {
                    "number": 1,
                    "label": "Core",
                    "title": {"en": "Core", "ko": "Core"},
                    "colour": [1, 2, 3],
                }
            ],
            "online": True,
            "default": False,
        }
        assert (shown["name"], shown["default"], shown["online"]) == ("demo", True, True)
        assert shown["roles"][0]["title"] == {"en": "x", "ko": "y"}

    def test_nobody_signs_a_heartbeat_so_configured_roles_stand(
        self, client: APIClient, agent: FakeAgent
    ) -> None:
        agent.heartbeat(offers=(OFFER.model_copy(update={"name": "demo"}),))
        (shown,) = get(client, "profiles/")["profiles"]
        assert [item["role"] for item in shown["roles"]] == list(ROLES)

    def test_texts_of_the_past_only_where_the_roles_are_the_same(
        self, client: APIClient, bucket: Bucket
    ) -> None:
        """A living agent without room for texts, and a dead one that once told them."""
        other = OFFER.model_copy(update={"name": "brain-2"})
        turned = other.model_copy(update={"roles": tuple(reversed(other.roles))})
        FakeAgent(bucket, "lab-1").heartbeat(offers=(OFFER, turned), state="stopped")
        FakeAgent(bucket, "lab-2").heartbeat(offers=(OFFER.without_texts(), other.without_texts()))
        same, changed = get(client, "profiles/")["profiles"]
        assert (same["name"], same["title"]["ko"]) == ("brain", "뇌")
        assert (changed["name"], changed["title"]["ko"]) == ("brain-2", "brain-2")
        assert [item["role"] for item in changed["roles"]] == ["t1", "t2"]

    def test_names_without_offers(self, client: APIClient, agent: FakeAgent) -> None:
        """A heartbeat that had no room: known names stay, others cannot be asked for."""
        agent.heartbeat(profiles=("demo", "unheard-of"))
        assert [item["name"] for item in get(client, "profiles/")["profiles"]] == ["demo"]

    def test_a_queue_that_does_not_answer(
        self, client: APIClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agents, "scan", away)
        assert get(client, "agents/", status=503)["code"] == "store-unavailable"
        assert get(client, "profiles/")["profiles"][0]["name"] == "demo"

    def test_health(self, client: APIClient, agent: FakeAgent) -> None:
        agent.heartbeat()
        assert get(client, "health/") == {
            "success": True,
            "status": "ok",
            "queue": "ok",
            "orthanc": "ok",
            "sync": "Nothing has ever run `labseg sync` here.",
            "last_sync": None,
            "agents_online": 1,
            "version": "0.1.0",
        }

    def test_health_when_something_is_away(
        self, client: APIClient, orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise OrthancUnavailableError("Orthanc did not answer.")

        monkeypatch.setattr(agents, "scan", away)
        monkeypatch.setattr(orthanc, "ping", fail)
        answer = get(client, "health/")
        assert answer["status"] == "degraded"
        assert (answer["queue"], answer["orthanc"]) == (
            "The bucket is away.",
            "Orthanc did not answer.",
        )

    def test_health_does_not_tell_settings(
        self, client: APIClient, orthanc: FakeOrthanc, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise FixConfigurationError("Orthanc refuses the user admin7.")

        monkeypatch.setattr(orthanc, "ping", fail)
        assert "admin7" not in str(get(client, "health/"))


class TestStudies:
    """The list, one study, and its segmentation."""

    def test_the_list(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        orthanc.index += [
            study_entry(orthanc_id=orthanc_id("old"), date="20200101", patient_name="KIM^MINA"),
            study_entry(orthanc_id=orthanc_id("undated"), date="", description="Head"),
        ]
        request_id = submit(client)
        answer = get(client, "studies/")
        assert answer.keys() == {"success", "count", "page", "page_size", "studies"}
        first, *others = answer["studies"]
        assert first.keys() == STUDY_FIELDS
        assert first.pop("latest_request")["request_id"] == request_id
        assert first == {
            "study_id": STUDY_ID,
            "study_instance_uid": STUDY_UID,
            "patient_name": PATIENT_NAME,
            "patient_id": PATIENT_ID,
            "date": "2026-05-04",
            "description": "Breast",
            "modalities": ["MR"],
            "series": 4,
            "phases": 0,
        }
        assert [item["date"] for item in others] == ["2020-01-01", None]
        assert [item["latest_request"] for item in others] == [None, None]

    @pytest.mark.parametrize(
        ("text", "found"),
        [("mina kim", 1), ("KIM^M", 1), ("2020", 1), ("breast", 2), ("p-1", 2), ("nobody", 0)],
    )
    def test_the_search(
        self, client: APIClient, orthanc: FakeOrthanc, text: str, found: int
    ) -> None:
        orthanc.index.append(
            study_entry(orthanc_id=orthanc_id("old"), date="20200101", patient_name="KIM^MINA")
        )
        assert get(client, "studies/", q=text)["count"] == found

    def test_pages_and_requests_to_orthanc(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        ids = [orthanc_id(f"study {number}") for number in range(7)]
        orthanc.index = [
            study_entry(orthanc_id=one, date=f"2026010{number + 1}")
            for number, one in enumerate(ids)
        ]
        get(client, "studies/")
        orthanc.calls.clear()
        answer = get(client, "studies/", page=2, page_size=3)
        assert [item["study_id"] for item in answer["studies"]] == [ids[3], ids[2], ids[1]]
        assert orthanc.calls == ["study_ids", "series_of"]
        del orthanc.index[0]
        assert get(client, "studies/")["count"] == 6

    def test_one_study_with_roles(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        orthanc.series_index.append(
            series_entry(9, modality="SEG", instances=(orthanc_id("seg"),), number="")
        )
        request_id = submit(client)
        answer = get(client, f"studies/{STUDY_ID}/")
        assert answer.keys() == {
            *("success", "study", "series", "profile", "roles", "requests", "missing_reports")
        }
        assert answer["study"].keys() == STUDY_FIELDS
        assert answer["series"][0] == {
            "series_id": series_id(0),
            "number": "0",
            "description": "phase 0",
            "modality": "MR",
            "instances": 12,
            "images": 12,
            "orientation": "coronal",
            "rows": 16,
            "columns": 20,
            "taken": "acquisition time 03:15:00",
            "parts": None,
        }
        assert answer["series"][-1]["modality"] == "SEG"
        assert answer["series"][-1]["orientation"] is None
        assert answer["profile"] == "demo"
        assert answer["roles"][1] == {
            "role": "dce-1",
            "title": {"en": "dce-1", "ko": "dce-1"},
            "series_id": series_id(1),
            "confidence": "certain",
            "evidence": "It was acquired at 03:16:00, number 2 of 4; "
            "the order by series number is the same.",
            "clues": [
                {
                    "code": "acquired",
                    "parameters": {"time": "03:16:00", "position": 2, "count": 4},
                },
                {"code": "agrees", "parameters": {"other": "series number"}},
            ],
        }
        assert [item["request_id"] for item in answer["requests"]] == [request_id]

    def test_a_report_that_is_not_in_orthanc_any_more(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        submit(client)
        agent.finish(agent.claim()[0], report=REPORT)
        submit(client)
        agent.finish(agent.claim()[0])
        # Behind as many series as are shown.
        orthanc.series_index += [series_entry(number, instances=()) for number in range(4, 250)]
        answer = get(client, f"studies/{STUDY_ID}/")
        assert answer["missing_reports"] == [REPORT.orthanc_id]
        named = [item["report_instance_id"] for item in answer["requests"]]
        assert named == [None, REPORT.orthanc_id]
        orthanc.series_index.append(
            series_entry(999, modality="SR", instances=(REPORT.orthanc_id,))
        )
        answer = get(client, f"studies/{STUDY_ID}/")
        assert (answer["missing_reports"], len(answer["series"])) == ([], 200)

    def test_tags_are_asked_for_once(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        get(client, f"studies/{STUDY_ID}/")
        assert orthanc.calls.count("tags") == 4
        get(client, f"studies/{STUDY_ID}/")
        assert orthanc.calls.count("tags") == 4

    def test_not_more_series_are_read_than_the_limit(
        self, client: APIClient, orthanc: FakeOrthanc
    ) -> None:
        orthanc.series_index = [series_entry(number) for number in range(150)]
        get(client, f"studies/{STUDY_ID}/")
        assert orthanc.calls.count("tags") == 60

    def test_a_series_deleted_meanwhile(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        del orthanc.tags_of[first_instance(3)]
        answer = get(client, f"studies/{STUDY_ID}/")
        assert answer["roles"][3]["series_id"] is None
        assert answer["roles"][0]["confidence"] == "guess"

    def test_another_profile(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        agent.heartbeat(offers=(OFFER,))
        answer = get(client, f"studies/{STUDY_ID}/", profile="brain")
        assert [item["role"] for item in answer["roles"]] == ["t1", "t2"]
        refusal = get(client, f"studies/{STUDY_ID}/", status=400, profile="demo")
        assert refusal["code"] == "profile-unknown"

    def test_unknown_and_junk_studies(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        get(client, f"studies/{orthanc_id('none')}/", status=404)
        get(client, "studies/x/", status=400)

    def test_segment_by_roles(
        self, client: APIClient, orthanc: FakeOrthanc, bucket: Bucket
    ) -> None:
        mixed = dict(zip(ROLES, FOUR, strict=True))
        body = {"profile": "demo", "series": dict(reversed(mixed.items())), "priority": 2}
        answer = post(client, f"studies/{STUDY_ID}/segment/", body, status=202)
        job = Job.objects.get()
        assert answer == {
            "success": True,
            "study_id": STUDY_ID,
            "request_id": job.job_id,
            "status": "pending",
            "profile": "demo",
        }
        assert job.series_ids == FOUR
        assert [item["role"] for item in job.series] == list(ROLES)
        assert [item.name.priority for item in scan(bucket).pending] == [2]

    def test_labels(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        by_role = {"series": dict(zip(ROLES, FOUR, strict=True)), "labels": ["site-b", "site-a"]}
        by_series = {"sequence_series_ids": list(FOUR), "labels": ["site-a"]}
        post(client, f"studies/{STUDY_ID}/segment/", by_role, status=202)
        post(client, f"series/{FOUR[0]}/segment/", by_series, status=202)
        submit(client)
        shown = get(client, "requests/")["requests"]
        assert [item["labels"] for item in shown] == [[], ["site-a"], ["site-a", "site-b"]]

    def test_a_profile_that_is_only_offered(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        body = {"profile": "brain", "series": {"b": FOUR[0], "a": FOUR[1]}}
        offer = OFFER.model_copy(
            update={"roles": tuple(OfferedRole(role=role) for role in ("a", "b"))}
        )
        refusal = post(client, f"studies/{STUDY_ID}/segment/", body, status=400)
        assert refusal["code"] == "profile-unknown"
        agent.heartbeat(offers=(offer,))
        post(client, f"studies/{STUDY_ID}/segment/", body, status=202)
        assert Job.objects.get().series_ids == (FOUR[1], FOUR[0])

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (None, "series-ids"),
            ([], "series-ids"),
            ({"series": list(FOUR)}, "series-ids"),
            ({"series": dict.fromkeys(ROLES, 7)}, "series-ids"),
            ({"series": {"dce-0": FOUR[0]}}, "roles"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)) | {"t1": FOUR[0]}}, "roles"),
            ({"series": dict.fromkeys(ROLES, FOUR[0])}, "series-twice"),
            ({"series": dict(zip(ROLES, (*FOUR[:3], "x"), strict=True))}, "series-id"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "priority": 10}, "request-invalid"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "priority": "1"}, "priority"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "priority": True}, "priority"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "profile": 7}, "profile-unknown"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "labels": "a"}, "request-invalid"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "labels": [7]}, "request-invalid"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "labels": ["A"]}, "request-invalid"),
            ({"series": dict(zip(ROLES, FOUR, strict=True)), "labels": ["\0"]}, "request-invalid"),
        ],
    )
    def test_wrong_requests(
        self, client: APIClient, orthanc: FakeOrthanc, bucket: Bucket, body: object, code: str
    ) -> None:
        refusal = post(client, f"studies/{STUDY_ID}/segment/", body, status=400)
        assert refusal["code"] == code
        assert refusal["remedy"]
        assert not Job.objects.exists()
        assert bucket.list("") == []

    def test_series_of_another_study(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        body = {"series": dict(zip(ROLES, FOUR, strict=True))}
        path = f"studies/{orthanc_id('other')}/segment/"
        assert post(client, path, body, status=400)["code"] == "other-study"
