"""One piece of evidence: a code, its parameters, and the sentence that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from django.utils.translation import gettext

from segrelay.texts import gettext_noop

SENTENCES: Mapping[str, str] = {
    "temporal-position": gettext_noop("the temporal position is {position} of {count}"),
    "acquired": gettext_noop("it was acquired at {time}, number {position} of {count}"),
    "triggered": gettext_noop("its trigger time is {time} ms, number {position} of {count}"),
    "content": gettext_noop("its content time is {time}, number {position} of {count}"),
    "acquisition-number": gettext_noop(
        "its acquisition number {number} is number {position} of {count}"
    ),
    "series-number": gettext_noop("its series number {number} is number {position} of {count}"),
    "phase-in-description": gettext_noop(
        "the description “{description}” makes it number {position} of {count}"
    ),
    "agrees": gettext_noop("the order by {other} is the same"),
    "disagrees": gettext_noop("but the order by {other} is another one"),
    "no-order": gettext_noop("nothing tells the order of the {count} series"),
    "more-groups": gettext_noop("another group of {count} phases fits as well"),
    "too-few-phases": gettext_noop("only {count} phases of one geometry were found"),
    "several-frames": gettext_noop("the series have frames of reference of their own"),
    "frames-and-no-name": gettext_noop("but no description says which one is before contrast"),
    "one-key": gettext_noop("nothing else in the images confirms this order"),
    "other-order": gettext_noop("but the instance numbers count the volumes in another order"),
    "faster-run": gettext_noop("a faster series of {count} during the injection was left out"),
    "left-over": gettext_noop(
        "but “{description}” ({images} images) looks like a phase as well and is left over"
    ),
    "no-before": gettext_noop(
        "but “{description}” is not called before contrast, and no other series is"
    ),
    "repeated": gettext_noop("but “{description}” was acquired more than once"),
    "same-time": gettext_noop("but {count} of the series have the same time"),
    "declared": gettext_noop("but the series says that it has {count} temporal positions"),
    "gap": gettext_noop("but the phases are counted {counts}: one is missing"),
    "not-counted": gettext_noop("but “{description}” has no number, and others have"),
    "break": gettext_noop("but the times have a break at {time}"),
    "dixon": gettext_noop("of the Dixon images, the {image} images were taken"),
    "dixon-unclear": gettext_noop("but the water images are not complete"),
    "derived": gettext_noop("but the images were computed from others"),
    "not-named": gettext_noop("but no description names a dynamic acquisition"),
    "no-phases": gettext_noop("no two series look like phases of one acquisition"),
    "description": gettext_noop("the description “{description}” says {kind}"),
    "timing": gettext_noop("{timing} fits {kind}"),
    "timing-disagrees": gettext_noop("but {timing} would fit {kind}"),
    "agent": gettext_noop("a contrast agent is named"),
    "no-agent": gettext_noop("no contrast agent is named"),
    "before-in-description": gettext_noop("the description says before contrast"),
    "both-words": gettext_noop("but the description says both before and after contrast"),
    "contrast-unclear": gettext_noop("but whether it is before or after contrast is not said"),
    "opposite": gettext_noop("“{description}” is the one after contrast"),
    "later-than-contrast": gettext_noop("but it comes later than the one after contrast"),
    "agent-everywhere": gettext_noop("a contrast agent is named in all series alike"),
    "agent-elsewhere": gettext_noop("but the agent is named for another one"),
    "unknown-words": gettext_noop("but what “{words}” means is not known"),
    "ambiguous": gettext_noop("but with these times ({timing}) it can be something else"),
    "contrast-in-description": gettext_noop("the description tells of contrast"),
    "no-other-part": gettext_noop("{count} series fit; this one names no other part of the body"),
    "before-contrast": gettext_noop("{count} series fit; this one is before contrast"),
    "axial": gettext_noop("{count} series fit; this one is axial"),
    "done-again": gettext_noop("{count} series fit; this one repeats the other"),
    "several": gettext_noop("{count} series fit; this one has the most slices"),
    "several-equal": gettext_noop("{count} series fit equally well"),
    "none-fits": gettext_noop("no series looks like {kind}"),
    "role-unknown": gettext_noop("there is no rule for this role: choose its series"),
    "taken": gettext_noop("the series that fits has another role already"),
}
"""By code: the sentence, without its full stop; parameters in braces."""

ORDERS: Mapping[str, str] = {
    "temporal-position": gettext_noop("temporal position"),
    "acquired": gettext_noop("acquisition time"),
    "triggered": gettext_noop("trigger time"),
    "content": gettext_noop("content time"),
    "acquisition-number": gettext_noop("acquisition number"),
    "series-number": gettext_noop("series number"),
    "phase-in-description": gettext_noop("description"),
}
"""What the phases can be sorted by."""

DIXON_IMAGES = (
    gettext_noop("water"),
    gettext_noop("fat"),
    gettext_noop("in-phase"),
    gettext_noop("opposed-phase"),
)
"""Values of the parameter ``image``."""


class Confidence(StrEnum):
    """How sure a recognition is."""

    CERTAIN = "certain"
    """Independent pieces agree, or the scanner's clock says it and nothing contradicts."""
    LIKELY = "likely"
    """One piece of evidence says it, and none contradicts."""
    GUESS = "guess"
    """Another series fits as well, or pieces of evidence disagree: a user must check."""
    NONE = "none"
    """No series fits."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One piece of evidence."""

    code: str
    """A key of :data:`SENTENCES`."""
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    @classmethod
    def of(cls, code: str, **parameters: str | int) -> Evidence:
        """A piece of evidence with these parameters."""
        return cls(code=code, parameters=parameters)

    @property
    def text(self) -> str:
        """The sentence in the active language, without its full stop."""
        names = {
            key: gettext(str(value)) if key in ("other", "image") else value
            for key, value in self.parameters.items()
        }
        return gettext(SENTENCES[self.code]).format(**names)


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """Which series plays a role, and why."""

    role: str
    series_id: str | None
    confidence: Confidence
    evidence: tuple[Evidence, ...]
    """At least one."""

    @property
    def sentence(self) -> str:
        """The evidence as one sentence in the active language."""
        text = "; ".join(piece.text for piece in self.evidence)
        return f"{text[:1].upper()}{text[1:]}."

    @classmethod
    def none(cls, role: str, why: Evidence) -> Recognised:
        """No series for a role."""
        return cls(role=role, series_id=None, confidence=Confidence.NONE, evidence=(why,))
