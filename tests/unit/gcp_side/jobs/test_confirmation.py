"""Series that contradict a profile need a person's yes, on every way to a job."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from django.utils.translation import gettext, override
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from gcp_side.labseg import jobs
from gcp_side.labseg.admin import JobAdmin
from gcp_side.labseg.errors import ConfirmationNeededError
from gcp_side.labseg.jobs.checked_input import needs_of
from gcp_side.labseg.jobs.confirmation import Needs, Reason, read_reasons, reasons_against
from gcp_side.labseg.messages import explain_warnings
from gcp_side.labseg.models import Job
from gcp_side.labseg.recognition import SeriesAttributes, attributes_of, recognise
from segrelay.bucket import Bucket
from segrelay.dicom.body_regions import ATTRIBUTES, REGIONS
from segrelay.manifest import ResultStatus, notes_of, parse_job_manifest
from segrelay.notices import notice, word
from segrelay.offers import Offer, OfferedRecognition, OfferedRole
from segrelay.profiles import Recognition, Text
from segrelay.queue import scan
from segrelay.result_notes import confirmed_notes, region_notes
from tests.unit.gcp_side.fakes import (
    FOUR,
    ROLES,
    STUDY_ID,
    FakeAgent,
    FakeOrthanc,
    ended,
    first_instance,
    radiologist,
    series_id,
    succeeded,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/mri/segmentation"
DEMO = Offer(
    name="demo",
    body_part="BREAST",
    for_patients=False,
    roles=tuple(
        OfferedRole(
            role=role,
            title=Text(en=f"phase {number}", ko=f"{number}기"),
            recognition=OfferedRecognition(phase=number),
        )
        for number, role in enumerate(ROLES)
    ),
)
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "series": (f"series/{FOUR[0]}/segment/", {"sequence_series_ids": list(FOUR)}),
    "request-local": (f"series/{FOUR[0]}/request-local/", {"sequence_series_ids": list(FOUR)}),
    "study": (f"studies/{STUDY_ID}/segment/", {"series": dict(zip(ROLES, FOUR, strict=True))}),
}


def post(client: APIClient, path: str, body: object, *, language: str = "en") -> Any:
    return client.post(f"{ROOT}/{path}", body, format="json", HTTP_ACCEPT_LANGUAGE=language)


def make_brain(orthanc: FakeOrthanc, **tags: str) -> None:
    """The four phases, as a scanner tells them of a head."""
    for number in range(4):
        orthanc.tags_of[first_instance(number)] |= {"BodyPartExamined": "BRAIN"} | tags


def codes(answer: Any) -> list[str]:
    return [reason["code"] for reason in answer.json()["reasons"]]


class TestReasons:
    """The pure function."""

    NEEDS = Needs(
        regions=("breast",),
        rules={role: Recognition(phase=number) for number, role in enumerate(ROLES)},
    )

    def series(self, number: int, **tags: str) -> SeriesAttributes:
        plain = {
            "Rows": "16",
            "Columns": "20",
            "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
            "EchoTime": "2.4",
            "RepetitionTime": "5.2",
            "AcquisitionDateTime": f"2026050403{15 + number}00",
        }
        return attributes_of(
            series_id(number),
            description=f"dyn {number}",
            number=number,
            instances=12,
            tags=plain | tags,
        )

    def against(
        self, *series: SeriesAttributes, chosen: tuple[int, ...] = (0, 1, 2, 3)
    ) -> list[str]:
        recognised = recognise(ROLES, series)
        by_role = {role: series[number] for role, number in zip(ROLES, chosen, strict=True)}
        return [reason.code for reason in reasons_against(self.NEEDS, by_role, recognised)]

    def four(self, **tags: str) -> list[SeriesAttributes]:
        return [self.series(number, **tags) for number in range(4)]

    @pytest.mark.parametrize(
        "tags",
        [
            {},
            {"BodyPartExamined": ""},
            {"BodyPartExamined": "BREAST", "StudyDescription": "Mamma MRT"},
            {"BodyPartExamined": "CHEST"},
            {"BodyPartExamined": "UNKNOWN", "ProtocolName": "유방 dynamic"},
            {"Laterality": "L"},
        ],
    )
    def test_an_ordinary_study_has_none(self, tags: dict[str, str]) -> None:
        assert self.against(*self.four(**tags)) == []

    @pytest.mark.parametrize(
        ("tags", "reasons"),
        [
            ({"BodyPartExamined": "BRAIN"}, ["body-part"]),
            ({"BodyPartExamined": "head"}, ["body-part"]),
            ({"StudyDescription": "MRI Brain"}, ["description-region"]),
            ({"ProtocolName": "뇌 MRI"}, ["description-region"]),
            ({"RequestedProcedureDescription": "Schädel"}, ["description-region"]),
            (
                {"BodyPartExamined": "PROSTATE", "StudyDescription": "LWS"},
                ["body-part", "description-region"],
            ),
            # A scanner keeps the body part of the last examination.
            ({"BodyPartExamined": "BREAST", "StudyDescription": "Knie"}, ["description-region"]),
        ],
    )
    def test_another_region(self, tags: dict[str, str], reasons: list[str]) -> None:
        assert self.against(*self.four(**tags)) == reasons

    def test_one_series_of_another_region_is_named_alone(self) -> None:
        series = self.four()
        series[2] = self.series(2, BodyPartExamined="LIVER")
        recognised = recognise(ROLES, series)
        (reason,) = reasons_against(self.NEEDS, dict(zip(ROLES, series, strict=True)), recognised)
        assert reason.parameters == {
            "attribute": "BodyPartExamined",
            "found": "liver",
            "expected": "breast",
            "roles": "dce-2",
            "of": "4",
        }

    def test_other_series_than_the_recognised_ones(self) -> None:
        assert self.against(*self.four(), chosen=(1, 0, 2, 3)) == ["role-other"]

    def test_what_is_a_guess_must_be_looked_at(self) -> None:
        # A second acquisition of four phases fits as well.
        rivals = [self.series(number, Rows="32") for number in range(10, 14)]
        assert self.against(*self.four(), *rivals) == ["role-unsure"]

    def test_what_nothing_looks_like(self) -> None:
        (lone,) = [self.series(0)]
        recognised = recognise(ROLES, [lone])
        chosen = dict.fromkeys(ROLES, lone)
        found = reasons_against(self.NEEDS, chosen, recognised)
        assert {reason.code for reason in found} <= {"role-unrecognised", "role-unsure"}
        assert found

    @pytest.mark.parametrize(
        ("tags", "found"),
        [
            ({"EchoTime": "100", "RepetitionTime": "4000"}, ["T2"]),
            ({"EchoTime": "90", "RepetitionTime": "9000", "InversionTime": "2500"}, ["FLAIR"]),
            ({"EchoTime": "2.4", "RepetitionTime": "5.2"}, []),
            ({"EchoTime": "2.3", "RepetitionTime": "1900", "InversionTime": "900"}, []),
            ({"EchoTime": ""}, []),
        ],
    )
    def test_another_weighting(self, tags: dict[str, str], found: list[str]) -> None:
        series = self.four(**tags)
        chosen = dict(zip(ROLES, series, strict=True))
        reasons = reasons_against(self.NEEDS, chosen, recognise(ROLES, series))
        told = [reason for reason in reasons if reason.code == "weighting"]
        assert [reason.parameters["found"] for reason in told] == found

    def test_two_sides(self) -> None:
        series = self.four()
        series[1] = self.series(1, Laterality="L")
        series[3] = self.series(3, Laterality="R")
        assert self.against(*series) == ["laterality"]

    def test_a_role_that_a_person_chooses_is_not_checked(self) -> None:
        needs = Needs(regions=(), rules={"first": None})
        chosen = {"first": self.series(0, BodyPartExamined="KNEE")}
        assert reasons_against(needs, chosen, recognise(["first"], list(chosen.values()))) == ()

    @given(value=st.text(max_size=80))
    def test_no_value_of_an_attribute_comes_out(self, value: str) -> None:
        secret = f"Hong^Gildong {value}"
        series = self.four(
            BodyPartExamined=secret, StudyDescription=f"{secret} brain", Laterality=secret
        )
        recognised = recognise(ROLES, series)
        chosen = dict(zip(ROLES, series, strict=True))
        for reason in reasons_against(self.NEEDS, chosen, recognised):
            assert "Hong" not in reason.text + str(reason.as_dict())
            assert set(reason.parameters.get("found", "brain").split(", ")) <= set(REGIONS)

    def test_every_name_has_korean_words(self) -> None:
        with override("ko"):
            words = [word(name, gettext) for name in (*REGIONS, *ATTRIBUTES)]
        assert [text for text in words if not re.search("[가-힣]", text)] == []

    def test_the_sentences_in_both_languages(self) -> None:
        reason = Reason(
            code="body-part",
            parameters={
                "attribute": "BodyPartExamined",
                "found": "brain",
                "expected": "breast",
                "roles": "dce-0, dce-1",
            },
            titles={"dce-0": Text(en="Before contrast", ko="조영 전")},
        )
        assert reason.text == (
            "Body Part Examined says brain, but the profile is for breast: Before contrast, dce-1."
        )
        with override("ko"):
            assert reason.text == (
                "검사 부위(Body Part Examined) 항목에는 뇌(으)로 되어 있지만, "
                "이 프로파일의 대상 부위는 유방입니다: 조영 전, dce-1."
            )

    @pytest.mark.parametrize(
        "kept", [{}, {"code": "x", "parameters": {}}, {"code": "body-part", "parameters": 7}]
    )
    def test_what_another_version_kept_is_left_out(self, kept: dict[str, object]) -> None:
        assert read_reasons([kept]) == []
        assert read_reasons([{"code": "body-part", "parameters": {}}])[0].text

    @pytest.mark.parametrize(
        ("offer", "regions"),
        [
            (DEMO, ("breast",)),
            (DEMO.model_copy(update={"body_part": None}), ()),
            (DEMO.model_copy(update={"body_part": "OTHER"}), ()),
            # Nobody signs a heartbeat: a name that says its region is not reinterpreted.
            (DEMO.model_copy(update={"name": "breast-dce", "body_part": "BRAIN"}), ("breast",)),
            (DEMO.model_copy(update={"name": "brats-segresnet", "body_part": None}), ("brain",)),
        ],
    )
    def test_the_region_of_a_profile(self, offer: Offer, regions: tuple[str, ...]) -> None:
        assert needs_of(offer).regions == regions


class TestRest:
    """409 with the reasons, then 202."""

    @pytest.fixture(autouse=True)
    def offered(self, agent: FakeAgent) -> None:
        agent.heartbeat(offers=(DEMO,))

    @pytest.mark.parametrize("way", WAYS)
    def test_an_ordinary_study_goes_through_as_before(
        self, client: APIClient, orthanc: FakeOrthanc, bucket: Bucket, way: str
    ) -> None:
        path, body = WAYS[way]
        assert post(client, path, body).status_code == 202
        (pending,) = scan(bucket).pending
        data = bucket.read(pending.info.name, limit=10_000)
        assert b"confirmed" not in data
        assert b'"1.0"' in data
        assert (Job.objects.get().confirmed, Job.objects.get().confirmed_by) == ([], "")

    @pytest.mark.parametrize("confirm", [{}, {"confirm": False}])
    @pytest.mark.parametrize("way", WAYS)
    def test_a_contradiction_is_answered_with_its_reasons(
        self, client: APIClient, orthanc: FakeOrthanc, way: str, confirm: dict[str, bool]
    ) -> None:
        make_brain(orthanc)
        path, body = WAYS[way]
        answer = post(client, path, body | confirm)
        assert answer.status_code == 409
        told = answer.json()
        assert told.keys() == {"success", "error", "code", "remedy", "detail", "reasons"}
        assert (told["success"], told["code"]) == (False, "confirmation-needed")
        assert told["reasons"] == [
            {
                "code": "body-part",
                "parameters": {
                    "attribute": "BodyPartExamined",
                    "found": "brain",
                    "expected": "breast",
                    "roles": ", ".join(ROLES),
                    "of": "4",
                },
                "text": "Body Part Examined says brain, but the profile is for breast: all series.",
                "contradicts": True,
            }
        ]
        assert not Job.objects.exists()

    @pytest.mark.parametrize("way", WAYS)
    def test_with_a_yes_it_goes_and_the_job_keeps_it(
        self, client: APIClient, orthanc: FakeOrthanc, bucket: Bucket, way: str
    ) -> None:
        make_brain(orthanc, StudyDescription="Kopf")
        path, body = WAYS[way]
        answer = post(client, path, body | {"confirm": True})
        assert answer.status_code == 202
        job = Job.objects.get()
        assert [item["code"] for item in job.confirmed] == ["body-part", "description-region"]
        assert job.confirmed_by == "radiologist"
        assert [event.kind for event in job.events.all()] == ["submitting", "confirmed", "pending"]
        (pending,) = scan(bucket).pending
        manifest = parse_job_manifest(bucket.read(pending.info.name, limit=10_000))
        assert manifest.schema_version == "1.2"
        assert manifest.confirmed == ("body-part", "description-region")
        told = client.get(f"{ROOT}/status/{job.pk}/").json()
        assert [reason["code"] for reason in told["confirmed"]] == [
            "body-part",
            "description-region",
        ]
        assert told["confirmed_by"] == "radiologist"
        events = client.get(f"{ROOT}/requests/{job.pk}/events/").json()["events"]
        assert "Body Part Examined says brain" in events[1]["text"]

    def test_in_korean(self, client: APIClient, orthanc: FakeOrthanc) -> None:
        make_brain(orthanc)
        path, body = WAYS["study"]
        told = post(client, path, body, language="ko").json()
        assert told["error"] == "선택한 시리즈는 사용자의 확인이 필요합니다."
        assert told["reasons"][0]["text"].startswith("검사 부위(Body Part Examined) 항목에는 뇌")
        assert told["reasons"][0]["text"].endswith("유방입니다: 모든 시리즈.")

    @pytest.mark.parametrize("way", WAYS)
    def test_a_yes_to_what_was_shown_covers_nothing_else(
        self, client: APIClient, orthanc: FakeOrthanc, way: str
    ) -> None:
        make_brain(orthanc, StudyDescription="Kopf")
        path, body = WAYS[way]
        for confirm in (["body-part"], ["description-region"], ["body-part", "role-unsure"], []):
            answer = post(client, path, body | {"confirm": confirm})
            assert (answer.status_code, codes(answer)) == (
                409,
                ["body-part", "description-region"],
            )
        assert not Job.objects.exists()
        answer = post(client, path, body | {"confirm": codes(answer)})
        assert answer.status_code == 202

    def test_a_retry_is_bound_to_what_was_shown_too(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        make_brain(orthanc)
        path, body = WAYS["study"]
        old = post(client, path, body | {"confirm": ["body-part"]}).json()["request_id"]
        agent.queue.finish(agent.claim()[0], ended(old, ResultStatus.FAILED))
        agent.heartbeat(offers=(DEMO,))
        for confirm, code in ((["role-unsure"], 409), (["body-part"], 202)):
            answer = post(client, f"requests/{old}/retry/", {"confirm": confirm})
            assert answer.status_code == code

    @pytest.mark.parametrize(
        "confirm", ["true", 1, None, [True], ["surprise"], "body-part", {"body-part": True}, [[]]]
    )
    def test_a_yes_is_true_or_codes_and_nothing_else(
        self, client: APIClient, orthanc: FakeOrthanc, confirm: object
    ) -> None:
        make_brain(orthanc)
        for path, body in WAYS.values():
            answer = post(client, path, body | {"confirm": confirm})
            assert (answer.status_code, answer.json()["code"]) == (400, "confirm")
        assert not Job.objects.exists()

    def test_each_change_of_the_series_is_checked_again(
        self, client: APIClient, orthanc: FakeOrthanc
    ) -> None:
        swapped = dict(zip(ROLES, (FOUR[1], FOUR[0], *FOUR[2:]), strict=True))
        answer = post(client, f"studies/{STUDY_ID}/segment/", {"series": swapped})
        assert (answer.status_code, codes(answer)) == (409, ["role-other"])
        assert answer.json()["reasons"][0]["text"].endswith(": phase 0, phase 1.")
        path, body = WAYS["study"]
        assert post(client, path, body).status_code == 202

    def test_the_old_front_end_with_its_series_in_a_wrong_order(
        self, client: APIClient, orthanc: FakeOrthanc
    ) -> None:
        body = {"sequence_series_ids": [FOUR[3], *FOUR[:3]]}
        answer = post(client, f"series/{FOUR[3]}/segment/", body)
        assert (answer.status_code, codes(answer)) == (409, ["role-other"])

    def test_a_retry_needs_the_yes_once_more(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        make_brain(orthanc)
        path, body = WAYS["study"]
        old = post(client, path, body | {"confirm": True}).json()["request_id"]
        agent.queue.finish(agent.claim()[0], ended(old, ResultStatus.FAILED))
        agent.heartbeat(offers=(DEMO,))
        answer = post(client, f"requests/{old}/retry/", {})
        assert (answer.status_code, codes(answer)) == (409, ["body-part"])
        again = post(client, f"requests/{old}/retry/", {"confirm": True})
        assert again.status_code == 202
        assert Job.objects.get(pk=again.json()["request_id"]).confirmed_by == "radiologist"

    def test_what_the_lab_says_is_not_for_patients_is_told_so(
        self, client: APIClient, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        path, body = WAYS["study"]
        job_id = post(client, path, body).json()["request_id"]
        assert client.get(f"{ROOT}/status/{job_id}/").json()["for_patients"] is True
        result = succeeded(job_id, agent.name)
        agent.queue.finish(
            agent.claim()[0],
            result.model_copy(
                update=notes_of([notice("not-for-patients"), notice("trained-on-synthetic")])
            ),
        )
        told = client.get(f"{ROOT}/status/{job_id}/", HTTP_ACCEPT_LANGUAGE="ko").json()
        assert (told["for_patients"], told["trained_on_synthetic"]) == (False, True)
        assert told["warnings"][0].startswith("환자에게 사용 금지")
        assert told["warnings"][1].startswith("합성 영상만으로 학습")
        agent.heartbeat(offers=(DEMO,))
        (profile,) = client.get(f"{ROOT}/profiles/").json()["profiles"]
        assert (profile["body_part"], profile["for_patients"]) == ("BREAST", False)
        assert profile["trained_on_synthetic"] is False


class TestOtherWays:
    """Nothing goes past the guard."""

    @pytest.fixture(autouse=True)
    def brain(self, agent: FakeAgent, orthanc: FakeOrthanc) -> None:
        agent.heartbeat(offers=(DEMO,))
        make_brain(orthanc)

    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("labseg", *arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    def test_the_service_itself(self, orthanc: FakeOrthanc) -> None:
        with pytest.raises(ConfirmationNeededError) as caught:
            jobs.submit(jobs.Submission(series_ids=FOUR), orthanc=orthanc)
        assert "Body Part Examined says brain" in caught.value.message
        assert not Job.objects.exists()

    def test_the_command(self) -> None:
        with pytest.raises(CommandError) as caught:
            self.run("submit", "--series", *FOUR)
        assert caught.value.returncode == 2
        assert "Body Part Examined says brain" in str(caught.value)
        assert "--confirm" in str(caught.value)
        job_id = self.run("submit", "--confirm", "--series", *FOUR).strip()
        assert Job.objects.get(pk=job_id).confirmed_by == "manage.py"
        shown = self.run("show", job_id)
        assert "confirmed by  manage.py" in shown
        assert "Body Part Examined says brain" in shown

    def test_the_command_that_retries(self, agent: FakeAgent) -> None:
        old = self.run("submit", "--confirm", "--series", *FOUR).strip()
        agent.queue.finish(agent.claim()[0], ended(old, ResultStatus.FAILED))
        agent.heartbeat(offers=(DEMO,))
        with pytest.raises(CommandError, match="--confirm"):
            self.run("retry", old)
        assert self.run("retry", "--confirm", old).strip() != old

    def test_the_admin_says_what_contradicts_and_makes_no_job(
        self, orthanc: FakeOrthanc, agent: FakeAgent
    ) -> None:
        old = self.run("submit", "--confirm", "--series", *FOUR).strip()
        agent.queue.finish(agent.claim()[0], ended(old, ResultStatus.FAILED))
        agent.heartbeat(offers=(DEMO,))
        request = RequestFactory().post("/")
        request.user = radiologist(name="other")
        request.session = {}  # type: ignore[assignment]
        request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
        JobAdmin(Job, site).retry_jobs(request, Job.objects.filter(pk=old))
        (message,) = get_messages(request)
        assert "Body Part Examined says brain" in str(message)
        assert Job.objects.count() == 1


def test_what_the_lab_found_is_shown_in_korean() -> None:
    found = [
        *region_notes({"dce-0": {"BodyPartExamined": ["brain"]}}, ["breast"]),
        *confirmed_notes(["body-part", "role-unsure", "laterality"]),
    ]
    texts = [item.text for item in found]
    assert texts == [
        "ATTENTION: Body Part Examined of dce-0 says brain, but the profile is for breast.",
        "The input contradicts the profile; a person confirmed it: body-part, laterality.",
        "The series were not certain for every role; a person confirmed: role-unsure.",
    ]
    kept = [item.model_dump() for item in found]
    with override("ko"):
        assert explain_warnings(texts, kept) == [
            "주의: dce-0 시리즈의 검사 부위(Body Part Examined) 항목에는 뇌(으)로 되어 있지만, "
            "이 프로파일의 대상 부위는 유방입니다.",
            "입력이 프로파일과 맞지 않으며, 사용자가 확인하고 진행했습니다: body-part, laterality.",
            "시리즈가 각 역할에 맞는지 확실하지 않았으며, "
            "사용자가 확인하고 진행했습니다: role-unsure.",
        ]
