"""What speaks against segmenting these series with this profile. Pure: nothing is asked.

Each reason needs a person's yes before a job is made of them; the job and its result keep it.

==================  =====================================================================
code                what contradicts
==================  =====================================================================
body-part           Body Part Examined names another region than the profile's
description-region  a description, or the Anatomic Region, does
weighting           a series looks like another weighting than its role needs
role-other          another series than the recognised one has the role
role-unsure         which series has the role is a guess
role-unrecognised   no series looks like the role, so the chosen one does not either
laterality          some series show the left side, others the right
==================  =====================================================================

A reason holds names of attributes, regions, weightings and roles, never the value of an
attribute. An attribute that is empty or says nothing is no reason.
The codes of :data:`segrelay.result_notes.DOUBTS` are doubts, the others contradict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.utils.translation import get_language, gettext, override

from gcp_side.labseg.recognition import Confidence, Recognised, SeriesAttributes, recognise
from segrelay.dicom.acquisition import weighting_by_times
from segrelay.dicom.body_regions import BODY_PART, contradictions
from segrelay.notices import word
from segrelay.profiles import Recognition, Text, Weighting
from segrelay.texts import gettext_noop

_OTHER_REGION = gettext_noop(
    "{attribute} says {found}, but the profile is for {expected}: {roles}."
)

REASONS: Mapping[str, str] = {
    "body-part": _OTHER_REGION,
    "description-region": _OTHER_REGION,
    "weighting": gettext_noop(
        "A series looks like {found}, but its role needs {expected}: {roles}."
    ),
    "role-other": gettext_noop("Another series than the recognised one was chosen: {roles}."),
    "role-unsure": gettext_noop("It is not certain that the series is the right one: {roles}."),
    "role-unrecognised": gettext_noop(
        "The series was not recognised as what its role says: {roles}."
    ),
    "laterality": gettext_noop("The series are of different sides, left and right: {roles}."),
}
"""By code: the sentence; parameters in braces."""

Confirm = bool | frozenset[str]
"""A user's yes: to everything, or to the codes of the reasons that were shown."""

_SURE = (Confidence.CERTAIN, Confidence.LIKELY)
_OTHERS: Mapping[Weighting, tuple[Weighting, ...]] = {
    "T1": ("T2", "FLAIR"),
    "T2": ("T1", "FLAIR"),
    # Without its inversion time a FLAIR looks like a T2.
    "FLAIR": ("T1",),
}


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One thing that contradicts."""

    code: str
    """A key of :data:`REASONS`."""
    parameters: Mapping[str, str]
    """``roles``, separated by commas, and ``of`` how many; for some codes ``attribute``, a keyword,
    and ``found`` and ``expected``: regions or weightings."""
    titles: Mapping[str, Text | None] = field(default_factory=dict, repr=False)
    """What users call the roles; their names are used where one is missing."""

    @property
    def text(self) -> str:
        """The sentence in the active language."""
        words = {name: word(value, gettext) for name, value in self.parameters.items()}
        roles = self.parameters["roles"].split(", ")
        is_all = str(len(roles)) == self.parameters.get("of")
        words["roles"] = gettext("all series") if is_all else ", ".join(map(self._title, roles))
        return gettext(REASONS[self.code]).format(**words)

    def _title(self, role: str) -> str:
        title = self.titles.get(role)
        if title is None:
            return role
        return title.ko if (get_language() or "").startswith("ko") else title.en

    def as_dict(self) -> dict[str, object]:
        """Code and parameters, as a job keeps them."""
        return {"code": self.code, "parameters": dict(self.parameters)}


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a profile needs of its input."""

    regions: tuple[str, ...]
    """Names of body regions; empty: unknown."""
    rules: Mapping[str, Recognition | None]
    """By role, in channel order; None: a user chooses its series, nothing is checked."""
    titles: Mapping[str, Text | None] = field(default_factory=dict)


def reasons_against(
    needs: Needs, chosen: Mapping[str, SeriesAttributes], recognised: Sequence[Recognised]
) -> tuple[Reason, ...]:
    """Everything that speaks against ``chosen``; empty where nothing does.

    Parameters
    ----------
    chosen:
        The series by role.
    recognised:
        What was recognised for the same roles among all series of the study.
    """
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = defaultdict(list)
    for code, role, parameters in (
        *_other_regions(needs, chosen),
        *_other_weightings(needs, chosen),
        *_other_series(needs, chosen, recognised),
        *_sides(chosen),
    ):
        found[code, tuple(parameters.items())].append(role)
    order = list(REASONS)
    return tuple(
        Reason(
            code=code,
            parameters={
                **dict(parameters),
                "roles": ", ".join(roles),
                "of": str(len(needs.rules)),
            },
            titles=needs.titles,
        )
        for (code, parameters), roles in sorted(
            found.items(), key=lambda one: order.index(one[0][0])
        )
    )


def unconfirmed(reasons: Iterable[Reason], confirm: Confirm) -> tuple[Reason, ...]:
    """Those of the reasons that ``confirm`` does not cover."""
    if isinstance(confirm, bool):
        return () if confirm else tuple(reasons)
    return tuple(reason for reason in reasons if reason.code not in confirm)


_NO_PARAMETERS = {"attribute": "", "found": "", "expected": "", "roles": ""}

_Doubts = Iterator[tuple[str, str, dict[str, str]]]


def _other_regions(needs: Needs, chosen: Mapping[str, SeriesAttributes]) -> _Doubts:
    for role, attributes in chosen.items():
        for item in contradictions(dict(attributes.regions), needs.regions):
            code = "body-part" if item.keyword == BODY_PART else "description-region"
            yield (
                code,
                role,
                {"attribute": item.keyword, "found": item.found, "expected": item.expected},
            )


def _other_weightings(needs: Needs, chosen: Mapping[str, SeriesAttributes]) -> _Doubts:
    for role, attributes in chosen.items():
        rule = needs.rules.get(role)
        if rule is None:
            continue
        # The phases of a dynamic study are T1-weighted.
        expected = rule.weighting or "T1"
        for other in _OTHERS[expected]:
            if _looks_like(attributes, other):
                yield "weighting", role, {"found": other, "expected": expected}


def _looks_like(attributes: SeriesAttributes, weighting: Weighting) -> bool:
    """By its times alone, or by a recognition that is sure."""
    if (
        weighting_by_times(attributes.echo_ms, attributes.repetition_ms, attributes.inversion_ms)
        == weighting
    ):
        return True
    rule = Recognition(weighting=weighting)
    return recognise(["alone"], [attributes], {"alone": rule})[0].confidence in _SURE


def _other_series(
    needs: Needs, chosen: Mapping[str, SeriesAttributes], recognised: Sequence[Recognised]
) -> _Doubts:
    for item in recognised:
        if needs.rules.get(item.role) is None or item.role not in chosen:
            continue
        if item.confidence is Confidence.NONE:
            yield "role-unrecognised", item.role, {}
        elif item.confidence is Confidence.GUESS:
            yield "role-unsure", item.role, {}
        elif item.series_id != chosen[item.role].series_id:
            yield "role-other", item.role, {}


def _sides(chosen: Mapping[str, SeriesAttributes]) -> _Doubts:
    sides = {
        role: attributes.laterality for role, attributes in chosen.items() if attributes.laterality
    }
    if len(set(sides.values())) > 1:
        for role in sides:
            yield "laterality", role, {}


def in_english(reasons: Iterable[Reason]) -> str:
    """The sentences in English, whatever the active language is."""
    with override("en"):
        return " ".join(reason.text for reason in reasons)


def read_reasons(kept: Iterable[Mapping[str, object]]) -> list[Reason]:
    """Reasons as a job keeps them; what an other version wrote and is unknown here is left out."""
    found = []
    for item in kept:
        code, parameters = item.get("code"), item.get("parameters")
        if isinstance(code, str) and code in REASONS and isinstance(parameters, Mapping):
            texts = {str(name): str(value) for name, value in parameters.items()}
            found.append(Reason(code=code, parameters={**_NO_PARAMETERS, **texts}))
    return found
