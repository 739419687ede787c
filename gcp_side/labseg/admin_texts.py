"""What the admin shows of a job in place of raw columns: safe HTML in the active language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.contrib import admin
from django.urls import NoReverseMatch
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from gcp_side.labseg.conf import Conf, get_conf
from gcp_side.labseg.host.addresses import page_address
from gcp_side.labseg.jobs.confirmation import read_reasons
from gcp_side.labseg.messages import explain_code, explain_warnings
from gcp_side.labseg.models import Job
from gcp_side.labseg.volume_ids import volume_name
from segrelay.errors import FixConfigurationError
from segrelay.manifest import is_orthanc_id
from segrelay.result_notes import NOT_FOR_PATIENTS, TRAINED_ON_SYNTHETIC

NOTHING = "-"

ORTHANC_PAGE = "/app/explorer.html"
"""Orthanc's own page; Orthanc asks for a user itself."""


def study_page(job: Job) -> str:
    """Address of the page of the job's study; empty where the project has no pages."""
    if not is_orthanc_id(job.orthanc_study_id):
        return ""
    try:
        return page_address("study", job.orthanc_study_id)
    except NoReverseMatch:
        return ""


@admin.display(description=_("links"))
def links(job: Job) -> SafeString | str:
    """Links to the study: on this site's page, in Orthanc and in OHIF, as far as these exist."""
    found = [(study_page(job), gettext("Page of the study"))]
    conf = _conf()
    if conf is not None and is_orthanc_id(job.orthanc_study_id):
        root = conf.orthanc_url.rstrip("/")
        address = f"{root}{ORTHANC_PAGE}#study?uuid={job.orthanc_study_id}"
        found.append(
            (
                address if urlsplit(root).scheme in ("http", "https") else "",
                gettext("Study in Orthanc"),
            )
        )
        found.append((_in_ohif(job, conf), gettext("Open in OHIF")))
    link = '<a href="{}" target="_blank" rel="noopener">{}</a>'
    return format_html_join(" · ", link, (one for one in found if one[0])) or NOTHING


@admin.display(description=_("segments"))
def segments(job: Job) -> SafeString | str:
    """Each segment with its volume and longest diameter."""
    if NOT_FOR_PATIENTS in job.warnings:
        head = format_html("<strong>{}</strong><br>", gettext("NOT FOR PATIENTS"))
    elif TRAINED_ON_SYNTHETIC in job.warnings:
        head = format_html("<strong>{}</strong><br>", gettext("TRAINED ON SYNTHETIC IMAGES ONLY"))
    else:
        head = SafeString("")
    if job.tumour_found is False:
        head += format_html("{}<br>", gettext("No tumour was found."))
    if not job.measurements:
        return head or NOTHING
    return head + _table(
        (gettext("Segment"), gettext("Volume"), gettext("Longest")),
        (
            (item.get("label", ""), volume(item), _amount(item.get("longest_diameter_mm"), 1, "mm"))
            for item in job.measurements
        ),
    )


@admin.display(description=_("volume"))
def volumes(job: Job) -> str:
    """All volumes in one line, for a list."""
    return " · ".join(volume(item) for item in job.measurements) or NOTHING


def volume(item: dict[str, object]) -> str:
    """A segment's volume as text."""
    return _amount(item.get("volume_ml"), 2, "ml")


@admin.display(description=_("notes on the result"))
def notes(job: Job) -> SafeString | str:
    """What the lab says of the result."""
    return _listed(explain_warnings(job.warnings, job.notices))


@admin.display(description=_("confirmed contradictions"))
def confirmed(job: Job) -> SafeString | str:
    """What a user has confirmed, and who."""
    reasons = _listed(reason.text for reason in read_reasons(job.confirmed))
    return format_html("{}{}", job.confirmed_by, reasons) if job.confirmed else NOTHING


@admin.display(description=_("what went wrong"))
def failure(job: Job) -> SafeString | str:
    """What went wrong and what to do; the lab's own words in English below them."""
    if not job.failure_code:
        return NOTHING
    explained = explain_code(job.failure_code, job.failure_reason, job.failure_remedy)
    lines = [line for line in (explained.message, explained.remedy) if line]
    if explained.detail:
        lines.append(format_html('<span lang="en">{}</span>', explained.detail))
    lines.append(format_html("<code>{}</code>", job.failure_code))
    return format_html_join("", "{}<br>", ((line,) for line in lines))


@admin.display(description=_("series"))
def inputs(job: Job) -> SafeString | str:
    """Role, images and Orthanc's id of each series, in channel order."""
    return _table(
        (gettext("Role"), gettext("Images"), gettext("Series in Orthanc")),
        (
            (
                item.get("role", ""),
                item["part"]["expected_images"]
                if "part" in item
                else item.get("expected_instances", ""),
                format_html("<code>{}</code>", volume_name({"orthanc_id": "", **item})),
            )
            for item in job.series
        ),
    )


@admin.display(description=_("how it was made"))
def model(job: Job) -> SafeString | str:
    """Which model made the result, where and how fast."""
    made = job.provenance
    if not made:
        return NOTHING
    seconds = made.get("stage_seconds") or {}
    versions = made.get("versions") or {}
    lines: Sequence[tuple[str, object]] = (
        (gettext("Profile"), f"{made.get('profile', '')} {made.get('profile_version', '')}"),
        (gettext("SHA-256 of the weights"), made.get("model_sha256", "")),
        (gettext("Device"), made.get("device", "")),
        (gettext("Seconds"), ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())),
        (gettext("Versions"), ", ".join(f"{name} {value}" for name, value in versions.items())),
    )
    return _listed(f"{name}: {value}" for name, value in lines if value)


def _in_ohif(job: Job, conf: Conf) -> str:
    if not conf.ohif_url or not job.study_instance_uid:
        return ""
    parts = urlsplit(conf.ohif_url)
    query = {"StudyInstanceUIDs": job.study_instance_uid}
    if job.seg_series_instance_uid:
        query["initialSeriesInstanceUID"] = job.seg_series_instance_uid
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query))))))


def _conf() -> Conf | None:
    try:
        return get_conf()
    except FixConfigurationError:
        # The admin shows rows, whatever the settings are; system checks name what is wrong.
        return None


def _amount(value: object, digits: int, unit: str) -> str:
    if not isinstance(value, int | float):
        return NOTHING
    return f"{localize(round(value, digits), use_l10n=settings.USE_I18N)} {unit}"


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> SafeString:
    top = format_html_join("", "<th>{}</th>", ((name,) for name in names))
    cells = (format_html_join("", "<td>{}</td>", ((cell,) for cell in row)) for row in rows)
    body = format_html_join("", "<tr>{}</tr>", ((row,) for row in cells))
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", top, body)


def _listed(texts: Iterable[str]) -> SafeString | str:
    items = format_html_join("", "<li>{}</li>", ((text,) for text in texts))
    return format_html("<ul>{}</ul>", items) if items else NOTHING
