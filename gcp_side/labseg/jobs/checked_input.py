"""What speaks against a selection of series, by what Orthanc and the lab's heartbeats report.

The study is read as the page shows it: a request is asked about what its sender could see.
"""

from __future__ import annotations

from collections.abc import Iterable

from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.jobs.agents import offer_for, snapshot_or_empty
from gcp_side.labseg.jobs.confirmation import Needs, Reason, reasons_against
from gcp_side.labseg.jobs.selection import Selection
from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.orthanc.studies import SERIES_SHOWN, in_order
from gcp_side.labseg.recognition import Recognised, Rules, SeriesAttributes, recognise, usual_rule
from gcp_side.labseg.recognition.series_attributes import read_series, volumes_of
from segrelay.dicom.body_regions import regions_in, regions_of_body_part
from segrelay.offers import Offer


def reasons_for(profile: str, selection: Selection, orthanc: Orthanc) -> tuple[Reason, ...]:
    """What speaks against segmenting these series with this profile; empty where nothing does.

    Raises
    ------
    OrthancUnavailableError, OrthancRefusedError, FixConfigurationError
        The series cannot be read.
    """
    offer = offer_for(profile, selection.roles, snapshot_or_empty(), get_conf())
    stored = in_order(orthanc.series_of([selection.study_id]))
    shown = read_series(stored[:SERIES_SHOWN], orthanc)
    wanted = {info.orthanc_id for info in selection.series}
    # A study may hold more series than are read for recognition.
    left = [item for item in stored if item.orthanc_id in wanted - shown.keys()]
    known = volumes_of(shown)
    read = known | volumes_of(read_series(left, orthanc))
    named = zip(selection.roles, selection.volume_ids, strict=True)
    chosen = {role: read[volume] for role, volume in named if volume in read}
    return reasons_against(needs_of(offer), chosen, recognised_for(offer, known.values()))


def needs_of(offer: Offer) -> Needs:
    """What the input of a profile must show.

    A name that says its region is not reinterpreted by a heartbeat, which nobody signs.
    """
    named = regions_in(offer.name)
    reported = _rules(offer)
    return Needs(
        regions=named or regions_of_body_part(offer.body_part or ""),
        rules={item.role: reported.get(item.role) or usual_rule(item.role) for item in offer.roles},
        titles={item.role: item.title for item in offer.roles},
    )


def recognised_for(offer: Offer, series: Iterable[SeriesAttributes]) -> list[Recognised]:
    """One answer for each role of a profile, in their order."""
    return recognise([item.role for item in offer.roles], list(series), _rules(offer))


def _rules(offer: Offer) -> Rules:
    """As the profile has them; roles without one are recognised by their names."""
    return {
        item.role: rule
        for item in offer.roles
        if item.recognition is not None and (rule := item.recognition.rule) is not None
    }
