"""Notes on a result and reasons of an agent: a code, its parameters, and the English sentence.

A reader translates by the code, and shows the text of a code that it does not know. Parameters are
numbers, roles, and words of closed lists: no value of a header, and nothing that a person wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
)

from segrelay.dicom.body_regions import ATTRIBUTES, REGIONS
from segrelay.errors import SegRelayError
from segrelay.parsing.documents import Code, Sentence, first_items
from segrelay.parsing.validation import form
from segrelay.texts import gettext_noop

SENTENCES: Mapping[str, str] = {
    # What was done to the input of a result.
    "all-voxels-zero": gettext_noop("{role} is empty: every voxel is 0."),
    "objects-left-out": gettext_noop("Objects without images in {role} were left out: {count}."),
    "own-frame": gettext_noop("{role} has no Frame of Reference UID and was given one of its own."),
    "resampled": gettext_noop("{role} was resampled to the grid of {other}."),
    "moved": gettext_noop(
        "{role} was moved onto {other}: by {shift_mm:.1f} mm and {turn_degrees:.1f} degrees."
    ),
    "not-moved": gettext_noop(
        "{role} lies where its headers put it: no motion was found with which it matches {other} "
        "better."
    ),
    "value-left-out": gettext_noop("{attribute} has no usable value and was left out."),
    "text-read-as": gettext_noop(
        "The text of the headers is not in the character set that they declare: it was read as "
        "{encoding}."
    ),
    "brain-found": gettext_noop("The brain was found in {role}: {volume_ml:.0f} ml."),
    # What speaks against its roles.
    "same-pixels": gettext_noop("{role} and {other} hold the same pixels."),
    "agent-before-contrast": gettext_noop(
        "The headers name a contrast agent for {role}, which should be before contrast, and none "
        "for {other}."
    ),
    "darker-after-contrast": gettext_noop(
        "The pixels of {role} are darker than those of {other} where a contrast agent would "
        "brighten them: the two may be swapped."
    ),
    "phase-order": gettext_noop("By {moment} the phases come as {roles}."),
    "one-phase": gettext_noop("By {moment} {role} and {other} are one phase."),
    "echo-times": gettext_noop("The echo times of {role} and {other} are those of two scans."),
    "repetition-times": gettext_noop(
        "The repetition times of {role} and {other} are those of two scans."
    ),
    "dixon-images": gettext_noop("Of a Dixon scan {role} and {other} are different images."),
    "computed-images": gettext_noop(
        "The Image Type says that {role} was computed from other images."
    ),
    "echo-time": gettext_noop("An echo time of {echo_ms:g} ms does not fit {role} ({weighting})."),
    "inversion-time": gettext_noop(
        "An inversion time of {inversion_ms:g} ms does not fit {role} ({weighting})."
    ),
    "other-region": gettext_noop(
        "ATTENTION: {attribute} of {roles} says {found}, but the profile is for {expected}."
    ),
    # How it may be used.
    "not-for-patients": gettext_noop(
        "NOT FOR PATIENTS: this profile only shows how the program works; its result says nothing "
        "about a patient."
    ),
    "trained-on-synthetic": gettext_noop(
        "TRAINED ON SYNTHETIC IMAGES ONLY: for research; check every outline against the images."
    ),
    "contradiction-confirmed": gettext_noop(
        "The input contradicts the profile; a person confirmed it: {codes}."
    ),
    "doubt-confirmed": gettext_noop(
        "The series were not certain for every role; a person confirmed: {codes}."
    ),
    "report-not-stored": gettext_noop("The measurement report was not stored: {why}"),
    # Why an agent claims nothing.
    "heartbeat-late": gettext_noop("the heartbeat does not get through"),
    "disk-low": gettext_noop(
        "only {free_gb:.1f} GB free under the work folder: free space on its disk"
    ),
    "gpu-tested": gettext_noop("The GPU is tested: the last job failed ({code})."),
    "gpu-test-failed": gettext_noop("The GPU's self-test failed: {why}"),
    "jobs-fail": gettext_noop(
        "{count} different jobs in a row failed here, the last with {code}, until {until}"
    ),
    "paused-until": gettext_noop("until {until}"),
}
"""By code: the sentence, parameters in braces. ``why`` is the code of an error."""

_MOMENTS = {
    "temporal-position": gettext_noop("temporal position"),
    "acquisition-time": gettext_noop("acquisition time"),
    "trigger-time": gettext_noop("trigger time"),
}

WORDS: Mapping[str, str] = {
    **ATTRIBUTES,
    **{name: region for region in REGIONS for name in (region, region.replace(" ", "-"))},
    **_MOMENTS,
}
"""Values of parameters that are words, and these words in English."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9.:+_-]*"

Parameter = (
    StrictInt
    | Annotated[StrictFloat, Field(allow_inf_nan=False)]
    | Annotated[str, form(rf"^{_NAME}(, {_NAME})*$", "names with commas between", max_length=400)]
)
"""A number, or names and codes with commas between them."""

Name = Annotated[str, form(r"^[a-z][a-z_]{0,31}$", "lower-case letters joined by underscores")]


class Notice(BaseModel):
    """One note or reason."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: Code
    """A key of :data:`SENTENCES`, or an error's code."""
    parameters: Annotated[dict[Name, Parameter], Field(max_length=8)] = {}
    text: Sentence
    """The sentence in English."""


def read_notices(value: Any) -> tuple[Notice, ...]:
    """The notices of a list; what is none is left out, for it makes no result unreadable."""
    items = value if isinstance(value, list | tuple) else ()
    return tuple(item for item in map(_readable_one, items) if item is not None)


def _readable_one(value: Any) -> Notice | None:
    try:
        return Notice.model_validate(value)
    except ValidationError:
        return None


MOST_NOTICES = 50

Notices = Annotated[tuple[Notice, ...], BeforeValidator(read_notices), first_items(MOST_NOTICES)]
OptionalNotice = Annotated[Notice | None, BeforeValidator(_readable_one)]


def notice(code: str, /, *, text: str = "", **parameters: str | int | float) -> Notice:
    """A notice of one of :data:`SENTENCES`.

    Parameters
    ----------
    text:
        The sentence where it says more than the parameters may, as an error's message.
    """
    return Notice(code=code, parameters=parameters, text=text or fill(code, parameters, str))


def notice_of(error: SegRelayError) -> Notice:
    """An error as the reason of an agent that claims nothing."""
    return Notice(code=error.code, text=error.message)


def fill(
    code: str, parameters: Mapping[str, str | int | float], translated: Callable[[str], str]
) -> str:
    """The sentence of a code, in the language of ``translated``.

    Raises
    ------
    KeyError, ValueError
        The code is not known here, or its parameters are those of another version.
    """
    words = {
        name: word(value, translated) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
    return translated(SENTENCES[code]).format(**words)


def word(value: str, translated: Callable[[str], str]) -> str:
    """A parameter as it is read: each of :data:`WORDS` in it in the language of ``translated``."""
    return ", ".join(
        translated(WORDS[part]) if part in WORDS else part for part in value.split(", ")
    )
