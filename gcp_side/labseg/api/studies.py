"""The studies of Orthanc, and which of their series plays which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import Max
from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side.labseg import jobs
from gcp_side.labseg.api.answers import StudiesPage, StudyAnswer
from gcp_side.labseg.api.base import PAGING, LabsegView, page_of
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.errors import QueryRefusedError
from gcp_side.labseg.jobs.agents import ProfileOnOffer, profiles_on_offer, snapshot_or_empty
from gcp_side.labseg.jobs.checked_input import recognised_for
from gcp_side.labseg.models import Job
from gcp_side.labseg.orthanc import client as orthanc
from gcp_side.labseg.orthanc.client import SeriesEntry, StudyEntry
from gcp_side.labseg.orthanc.studies import SERIES_SHOWN, Catalogue, one_study
from gcp_side.labseg.recognition.series_attributes import ReadSeries, read_series, volumes_of
from segrelay.manifest import is_orthanc_id

REQUESTS_SHOWN = 50
"""Newest requests of one study."""

SEARCH_LIMIT = 200

_catalogue = Catalogue()


class Studies(LabsegView):
    """``GET …/studies/[?q=][&page=][&page_size=]``."""

    answer = StudiesPage
    query: ClassVar = {"q": "words of name, id, date or description", **PAGING}

    def get(self, request: Request) -> Response:
        """The studies in Orthanc, newest first, each with its latest request."""
        number, size = page_of(request)
        text = request.query_params.get("q", "")[:SEARCH_LIMIT]
        found = _catalogue.page(orthanc.connect(), text=text, number=number, size=size)
        latest = _latest_requests([entry.orthanc_id for entry in found.studies])
        studies = [
            _study(entry, found.series[entry.orthanc_id], latest.get(entry.orthanc_id))
            for entry in found.studies
        ]
        listed = {"count": found.count, "page": number, "page_size": size, "studies": studies}
        return Response(self.answer(listed).data)


class Study(LabsegView):
    """``GET …/studies/<study_id>/[?profile=<name>]``."""

    answer = StudyAnswer
    query: ClassVar = {"profile": "the usual one unless given"}

    def get(self, request: Request, study_id: str) -> Response:
        """A study, its series, the recognised roles of a profile, and its requests."""
        if not is_orthanc_id(study_id):
            raise QueryRefusedError("The study in the address is not an Orthanc id.")
        profile = _profile(request.query_params.get("profile"))
        client = orthanc.connect()
        rows = list(Job.objects.filter(orthanc_study_id=study_id)[:REQUESTS_SHOWN])
        jobs.refresh_together(rows)
        # After the results: what they name was in Orthanc before them.
        entry, stored = one_study(study_id, client)
        series = stored[:SERIES_SHOWN]
        read = read_series(series, client)
        roles = _roles(profile, read)
        recognised = [item["found"] for item in roles]
        found = self.answer(
            {
                "study": _study(entry, series, rows[0] if rows else None),
                "series": [
                    {"entry": item, "read": read.get(item.orthanc_id), "found": recognised}
                    for item in series
                ],
                "profile": profile.offer.name,
                "roles": roles,
                "requests": rows,
                "missing_reports": _missing_reports(rows, stored),
            }
        )
        return Response(found.data)


def _study(entry: StudyEntry, series: Sequence[SeriesEntry], latest: Job | None) -> dict[str, Any]:
    return {"entry": entry, "series": series, "latest": latest}


def _profile(name: str | None) -> ProfileOnOffer:
    """The profile of this name, the usual one unless given."""
    offers = profiles_on_offer(snapshot_or_empty(), get_conf())
    for item in offers:
        if item.offer.name == name or (name is None and item.is_default):
            return item
    raise QueryRefusedError(
        "The profile is not on offer.",
        code="profile-unknown",
        remedy=f"Use one of {', '.join(item.offer.name for item in offers)}.",
    )


def _roles(profile: ProfileOnOffer, read: Mapping[str, ReadSeries]) -> list[dict[str, Any]]:
    roles = profile.offer.roles
    found = recognised_for(profile.offer, volumes_of(read).values())
    return [{"offered": role, "found": item} for role, item in zip(roles, found, strict=True)]


def _missing_reports(rows: Sequence[Job], stored: Sequence[SeriesEntry]) -> list[str]:
    """Orthanc ids of reports that are in none of the study's series any more."""
    there = {instance for item in stored for instance in item.instances}
    named = [job.report_orthanc_id for job in rows if job.report_orthanc_id]
    return [report for report in named if report not in there]


def _latest_requests(study_ids: Sequence[str]) -> dict[str, Job]:
    """The newest job of each study, in two queries."""
    newest = (
        Job.objects.filter(orthanc_study_id__in=study_ids)
        .order_by()
        .values("orthanc_study_id")
        .annotate(newest=Max("job_id"))
        .values_list("newest", flat=True)
    )
    rows = Job.objects.filter(pk__in=list(newest))
    return {job.orthanc_study_id: job for job in rows}
