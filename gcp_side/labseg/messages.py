"""What error codes mean, in the language of whoever reads it.

Errors come in English, from ``segrelay`` and from the lab as text; what is stable in them is the
code. Who reads English is told the error's own words, which know names and numbers. Others are
told what the code means, and the error's own words as a detail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import get_language, gettext, gettext_noop

from gcp_side.labseg.jobs.confirmation import NAMES
from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.parsing.documents import SENTENCE_CHARACTERS
from segrelay.result_notes import NOT_FOR_PATIENTS
from segrelay.stages import Stage

_ = gettext_noop

_BY_ITSELF = _("Nothing: it is tried again by itself.")
_CHECK_SERIES = _("Check the series in Orthanc, and choose the right ones.")
_SEND_AGAIN = _("Send the series to Orthanc again; the stored copy is damaged.")
_SUBMIT_AGAIN = _("Submit the request again.")
_CORRECT_REQUEST = _("Correct the request and send it again.")
_CORRECT_ADDRESS = _("Correct the address.")
_ASK_ADMINISTRATOR = _("Tell the administrator of the image archive (Orthanc).")
_ASK_LAB = _("Tell the people who look after the lab's computer.")
_CHOOSE_OTHER = _("Look at the series in Orthanc, or choose another one.")
_CHECK_SEG = _("Check the segmentation in Orthanc.")
_ORTHANC_ID = _("Copy the id from Orthanc: five groups of eight hexadecimal digits.")

_REQUESTS: Mapping[str, tuple[str, str]] = {
    "submission-refused": (_("These series cannot make a request."), _CORRECT_REQUEST),
    "request-invalid": (_("The request is not valid."), _CORRECT_REQUEST),
    "query-invalid": (_("The address asks for something that cannot be."), _CORRECT_ADDRESS),
    "series-id": (_("A series is not named by an Orthanc id."), _ORTHANC_ID),
    "series-ids": (_("The series are not given as they must be."), _CORRECT_REQUEST),
    "study-id": (_("The study is not named by an Orthanc id."), _ORTHANC_ID),
    "orthanc-id": (_("An id is not an Orthanc id."), _ORTHANC_ID),
    "series-twice": (_("The same series is named twice."), _CORRECT_REQUEST),
    "series-count": (
        _("The number of series is not that of the profile's roles."),
        _("Give one series for each role."),
    ),
    "series-roles": (
        _("The roles are not those that the lab's profile needs."),
        _("Give one series for each role."),
    ),
    "roles": (_("The roles are not those of the profile."), _("Give one series for each role.")),
    "priority": (_("The priority is not a number from 0 to 9."), _CORRECT_REQUEST),
    "confirm": (
        _("The field confirm is neither true, false nor a list of codes of reasons."),
        _CORRECT_REQUEST,
    ),
    "confirmation-needed": (
        _("The series need a person's confirmation."),
        _("Look at the series; if they are the right ones all the same, confirm it."),
    ),
    "force": (_("The field force is neither true nor false."), _CORRECT_REQUEST),
    "profile-unknown": (_("The profile is not on offer."), _("Choose another profile.")),
    "series-missing": (
        _("The series is no longer in the image archive (Orthanc)."),
        _("It may have been deleted: look in Orthanc."),
    ),
    "series-empty": (
        _("A series has no images."),
        _("Wait until the scanner has sent it."),
    ),
    "not-mr": (_("A series is not MR."), _("Choose an MR series.")),
    "other-study": (
        _("The series do not belong to one study."),
        _("Choose series of one study."),
    ),
    "job-not-found": (_("There is no such request."), _("Look for it in the list of requests.")),
    "job-state": (_("The state of the request does not allow this."), _("Reload the page.")),
    "job-open": (_("The request has not ended."), _("Wait for it, or cancel it.")),
    "job-succeeded": (
        _("The request has succeeded."),
        _("Use its result, or ask for a new segmentation."),
    ),
}

_IMAGES: Mapping[str, tuple[str, str]] = {
    "series-refused": (_("The series cannot be used."), _CHECK_SERIES),
    "series-not-shown": (_("The series cannot be shown."), _CHOOSE_OTHER),
    "series-too-large": (
        _("The series is too large to be shown."),
        _("Open it in Orthanc's own viewer."),
    ),
    "image-too-large": (_("An image is larger than an MR image can be."), _CHECK_SERIES),
    "series-incomplete": (
        _("The series is not complete in the image archive (Orthanc)."),
        _("Wait until the scanner has sent everything, then submit the request again."),
    ),
    "series-exceeds-disk": (
        _("The series are larger than the disk of the lab's computer."),
        _("Choose smaller series, or ask the lab for a larger disk."),
    ),
    "series-changing": (_("The series changed while it was downloaded."), _BY_ITSELF),
    "same-series": (_("The same series has two roles."), _CHECK_SERIES),
    "other-patient": (_("The series are of different patients."), _CHECK_SERIES),
    "frame-of-reference": (_("The series do not share one frame of reference."), _CHECK_SERIES),
    "mixed-study": (_("The images of one series belong to different studies."), _CHECK_SERIES),
    "mixed-series": (_("The images belong to different series."), _CHECK_SERIES),
    "mixed-patient": (_("The images of one series are of different patients."), _CHECK_SERIES),
    "mixed-frame-of-reference": (
        _("The images of one series do not share one frame of reference."),
        _CHECK_SERIES,
    ),
    "mixed-matrix": (_("The slices of the series differ in size."), _CHOOSE_OTHER),
    "mixed-spacing": (_("The slices of the series differ in Pixel Spacing."), _CHOOSE_OTHER),
    "mixed-pixel-spacing": (_("The slices of the series differ in Pixel Spacing."), _CHOOSE_OTHER),
    "mixed-orientation": (
        _("The slices of the series are not parallel."),
        _("Choose a series of one orientation, without localizer images."),
    ),
    "duplicate-instance": (_("The same image is there twice."), _CHECK_SERIES),
    "duplicate-slice": (
        _("Two slices of the series lie at the same place."),
        _("It may hold several phases: split it, or remove the duplicate."),
    ),
    "missing-slice": (
        _("A slice of the series is missing."),
        _("Send the complete series to Orthanc, then submit the request again."),
    ),
    "uneven-spacing": (
        _("The slices are not evenly spaced; one may be missing."),
        _("Send the complete series to Orthanc, then submit the request again."),
    ),
    "sheared-stack": (_("The slices are stacked at a slant."), _CHOOSE_OTHER),
    "too-few-slices": (_("The series has too few slices."), _CHOOSE_OTHER),
    "localizer": (
        _("The series holds localizer images."),
        _("Choose the diagnostic series, not the scout."),
    ),
    "no-brain": (
        _("No brain was found in the T1-weighted series."),
        _("Check that the series is T1-weighted and shows the whole head."),
    ),
    "multiframe": (
        _("The series is a multi-frame image of another kind than Enhanced MR."),
        _("Send the study as Enhanced MR or as classic single-frame MR."),
    ),
    "several-volumes": (
        _("The series holds several volumes: stacks, phases, echoes or diffusion weightings."),
        _("Store each volume as a series of its own, and choose the one that is meant."),
    ),
    "not-greyscale": (_("The images are not plain greyscale."), _CHOOSE_OTHER),
    "pixel-depth": (_("The images' bits a voxel are not of a kind that is read."), _CHOOSE_OTHER),
    "pixel-encoding": (
        _("What the images say of their bits a voxel contradicts itself."),
        _SEND_AGAIN,
    ),
    "missing-pixel-data": (_("An image of the series is without pixel data."), _SEND_AGAIN),
    "unreadable-instance": (_("An image of the series cannot be read."), _SEND_AGAIN),
    "compressed": (
        _("The images are compressed in a way that cannot be read here."),
        _("Let Orthanc store the series as Explicit VR Little Endian."),
    ),
    "compressed-unreadable": (
        _("The images are compressed in a way that cannot be read here."),
        _("Let Orthanc store the series as Explicit VR Little Endian."),
    ),
    "no-position": (_("An image has no place in space."), _CHOOSE_OTHER),
    "no-pixel-spacing": (_("The series has no usable Pixel Spacing."), _CHOOSE_OTHER),
    "no-frame-of-reference": (_("An image has no frame of reference."), _CHOOSE_OTHER),
    "no-uid": (_("An image lacks one of its identifiers."), _CHOOSE_OTHER),
    "header-value": (
        _("A value in the headers of the images cannot be read."),
        _("Correct the attribute that is named in Orthanc, or send the series again."),
    ),
    "header-unusable": (
        _("The headers of the series cannot be carried over to a segmentation."),
        _("Correct the patient's and the study's attributes in Orthanc."),
    ),
    "no-such-slice": (_("The series has no such slice."), _CORRECT_ADDRESS),
}

_SEGMENTATIONS: Mapping[str, tuple[str, str]] = {
    "segmentation-unreadable": (_("The segmentation cannot be read."), _CHECK_SEG),
    "segmentation-broken": (_("The segmentation cannot be read."), _CHECK_SEG),
    "segmentation-type": (_("The segmentation is of a type that is not read here."), _CHECK_SEG),
    "segmentation-too-large": (_("The segmentation is too large to be shown."), _CHECK_SEG),
    "not-a-segmentation": (
        _("The instance is not a segmentation (SEG)."),
        _("Give the Orthanc id of a SEG."),
    ),
    "not-dicom": (_("The file is not DICOM."), _CHECK_SEG),
    "not-on-grid": (
        _("The segmentation does not lie on the grid of this series."),
        _("Ask for the series that it was made on."),
    ),
    "no-reference": (
        _("The segmentation does not name the series that it was made on."),
        _("Name the series in the address."),
    ),
    "no-such-segment": (_("The segmentation has no such segment."), _CORRECT_ADDRESS),
    "too-many-segments": (_("The segmentation has too many segments."), _CHECK_SEG),
    "seg-unreadable": (
        _("The stored segmentation cannot be read."),
        _("Look at it in Orthanc, remove it if it is damaged, then submit the request again."),
    ),
    "seg-damaged": (
        _("The segmentation was damaged on the lab's computer before it was sent."),
        _SUBMIT_AGAIN,
    ),
}

_PLACES: Mapping[str, tuple[str, str]] = {
    "configuration": (
        _("The site is not set up correctly."),
        _("Tell the administrator; the site's log names the setting."),
    ),
    "transient": (_("It does not work just now."), _BY_ITSELF),
    "store-unavailable": (_("The queue does not answer."), _BY_ITSELF),
    "object-refused": (
        _("A file of the queue can be neither read nor moved."),
        _("Check its owner and permissions; it is tried again by itself."),
    ),
    "store-full": (
        _("The disk of the queue is full."),
        _("Free space on it; it is tried again by itself."),
    ),
    "push-keys": (_("Google's public keys cannot be fetched."), _BY_ITSELF),
    "orthanc-unavailable": (_("The image archive (Orthanc) does not answer."), _BY_ITSELF),
    "orthanc-disk-full": (
        _("The disk of the image archive (Orthanc) is full."),
        _("Free space on it; it is tried again by itself."),
    ),
    "orthanc-not-found": (
        _("The image archive (Orthanc) does not have what was asked for."),
        _("It may have been deleted: look in Orthanc."),
    ),
    "orthanc-refused": (_("The image archive (Orthanc) refuses the request."), _ASK_ADMINISTRATOR),
    "orthanc-answer": (
        _("What answers in the place of the image archive is not an Orthanc."),
        _ASK_ADMINISTRATOR,
    ),
    "orthanc-too-large": (
        _("The image archive (Orthanc) refuses an upload of this size."),
        _ASK_ADMINISTRATOR,
    ),
    "orthanc-foreign-instance": (
        _("The image archive (Orthanc) holds something else in the place of the segmentation."),
        _ASK_ADMINISTRATOR,
    ),
}

_LAB: Mapping[str, tuple[str, str]] = {
    "failed": (_("The segmentation failed."), _ASK_LAB),
    "attempts-used-up": (
        _("All attempts failed."),
        _("Submit the request again once the cause is mended."),
    ),
    "attempt-failed": (_("An attempt failed."), _BY_ITSELF),
    "inference-failed": (_("The network's answer cannot be used."), _ASK_LAB),
    "output-not-finite": (_("The network's answer cannot be used."), _ASK_LAB),
    "output-shape": (_("The network's answer cannot be used."), _ASK_LAB),
    "out-of-memory": (_("The lab's computer ran out of memory."), _ASK_LAB),
    "local-disk": (_("The disk of the lab's computer is full or broken."), _ASK_LAB),
    "limit-reached": (
        _("A program has reached a limit of its computer (open files, processes or memory)."),
        _ASK_LAB,
    ),
    "worker-died": (_("The program that segments ended by itself."), _BY_ITSELF),
    "worker-hung": (_("The program that segments hung and was stopped."), _BY_ITSELF),
    "worker-stopped": (_("The program that segments was stopped."), _BY_ITSELF),
    "worker-error": (_("The program that segments met an error."), _ASK_LAB),
    "worker-memory": (_("The program that segments took too much memory."), _ASK_LAB),
    "gpu-error": (_("The lab's GPU met an error."), _BY_ITSELF),
    "gpu-sick": (_("The lab's GPU does not work."), _ASK_LAB),
    "report-damaged": (
        _("The measurement report was damaged on the lab's computer before it was sent."),
        _SUBMIT_AGAIN,
    ),
    "role-mismatch": (
        _("The images do not look like what their roles say."),
        _("Choose the right series for each role."),
    ),
    "labels": (
        _("The agent lacks a label that the request asks for."),
        _("Nothing, if another agent has it. Else ask the people who look after the lab."),
    ),
    "stage-died": (_("The agent met an error."), _BY_ITSELF),
    "thread-died": (_("The agent met an error."), _BY_ITSELF),
    "stopping": (_("The agent was stopped."), _BY_ITSELF),
    "paused": (_("The agent was paused."), _BY_ITSELF),
    "agent-lost": (_("The agent died or fell silent."), _BY_ITSELF),
    "taken-by-operator": (_("An operator took the job from the agent."), _BY_ITSELF),
    "hurried-by-operator": (_("An operator ended the wait."), _BY_ITSELF),
    "manifest-invalid": (_("The lab cannot read the request."), _SUBMIT_AGAIN),
    "manifest-not-json": (_("The lab cannot read the request."), _SUBMIT_AGAIN),
    "manifest-too-large": (_("The lab cannot read the request."), _SUBMIT_AGAIN),
    "name-invalid": (_("The lab cannot read the request."), _SUBMIT_AGAIN),
    "name-mismatch": (_("The lab cannot read the request."), _SUBMIT_AGAIN),
    "rejected": (_("The lab cannot accept the request."), _ASK_LAB),
    "schema-newer": (_("The lab's program is older than the site's."), _ASK_LAB),
    "unsigned": (_("It is not signed, and the reader believes only what is."), _ASK_LAB),
    "key-unknown": (_("It is signed with a key that the reader does not know."), _ASK_LAB),
    "signature-wrong": (_("Its signature is wrong: it was altered."), _ASK_LAB),
    "result-unreadable": (_("The result cannot be read or believed."), _ASK_LAB),
}

MEANINGS: Mapping[str, tuple[str, str]] = {
    **_REQUESTS,
    **_IMAGES,
    **_SEGMENTATIONS,
    **_PLACES,
    **_LAB,
}
"""By code: what has happened and what to do, a full sentence each."""

LONGEST_SENTENCE = SENTENCE_CHARACTERS
"""Characters of a sentence of the lab that is looked up; a longer one is not the lab's."""

UNKNOWN = (
    _("Something failed that has no words in this language."),
    _("Show the English words to the administrator."),
)
"""A newer agent may have codes that this site does not know."""

_WARNINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(?P<role>\S{1,64}) is empty: every voxel is 0\."),
        _("{role} is empty: every voxel is 0."),
    ),
    (
        re.compile(
            r"Objects without images in (?P<role>\S{1,64}) " r"were left out: (?P<count>\d{1,9})\."
        ),
        _("Objects without images in {role} were left out: {count}."),
    ),
    (
        re.compile(
            r"(?P<role>\S{1,64}) " r"has no Frame of Reference UID and was given one of its own\."
        ),
        _("{role} has no Frame of Reference UID and was given one of its own."),
    ),
    (
        re.compile(r"(?P<role>\S{1,64}) was resampled to the grid of (?P<other>\S{1,64})\."),
        _("{role} was resampled to the grid of {other}."),
    ),
    (
        re.compile(
            r"(?P<role>\S{1,64}) was moved onto (?P<other>\S{1,64}): "
            r"by (?P<shift>\S{1,64}) mm and (?P<turn>\S{1,64}) degrees\."
        ),
        _("{role} was moved onto {other}: by {shift} mm and {turn} degrees."),
    ),
    (
        re.compile(
            r"(?P<role>\S{1,64}) lies where its headers put it: no motion was found with which it "
            r"matches (?P<other>\S{1,64}) better\."
        ),
        _("{role} was left where it lies: no motion was found that matches {other} better."),
    ),
    (
        re.compile(
            r"(?P<name>[A-Za-z' ()-]{1,80}) was left out: it (?P<form>holds [a-z ]{1,80})\."
        ),
        _("{name} in the headers has no usable value and was left out."),
    ),
    (
        re.compile(
            r"The text of the headers is not in the character set that they declare: it was "
            r"read as (?P<name>.{1,400})\."
        ),
        _("The text of the headers is not in the character set they declare; read as {name}."),
    ),
    (
        re.compile(r"The brain was found in (?P<role>\S{1,64}): (?P<volume>\S{1,64}) ml\."),
        _("The brain was found in {role}: {volume} ml; what is not brain was set to 0."),
    ),
    (
        re.compile(r"(?P<role>\S{1,64}) and (?P<other>\S{1,64}) hold the same pixels\."),
        _("{role} and {other} hold the same pixels."),
    ),
    (
        re.compile(
            r"The headers name a contrast agent for (?P<role>\S{1,64}), which should be before "
            r"contrast, and none for (?P<other>\S{1,64})\."
        ),
        _("By the headers {role} is after contrast and {other} before it: the wrong way round."),
    ),
    (
        re.compile(
            r"The pixels of (?P<role>\S{1,64}) are darker than those of (?P<other>\S{1,64}) "
            r"where a contrast agent would brighten them: the two may be swapped\."
        ),
        _("By the pixels {role} is before contrast and {other} after it: they may be swapped."),
    ),
    (
        re.compile(r"By (?P<moment>[a-z ]{1,60}) the phases come as (?P<roles>.{1,400})\."),
        _("By the scanner's times the phases come as {roles}."),
    ),
    (
        re.compile(
            r"An echo time of (?P<echo>\S{1,64}) ms does not fit (?P<role>\S{1,64}) "
            r"\((?P<weighting>\S{1,64})\)\."
        ),
        _("An echo time of {echo} ms does not fit {role} ({weighting})."),
    ),
    (
        re.compile(
            r"An inversion time of (?P<inversion>\S{1,64}) ms does not fit (?P<role>\S{1,64}) "
            r"\((?P<weighting>\S{1,64})\)\."
        ),
        _("An inversion time of {inversion} ms does not fit {role} ({weighting})."),
    ),
    (
        re.compile(
            r"By (?P<moment>[a-z ]{1,120}) (?P<role>\S{1,64}) "
            r"and (?P<other>\S{1,64}) are one phase\."
        ),
        _("By the scanner's times {role} and {other} are one phase."),
    ),
    (
        re.compile(
            r"The echo times of (?P<role>\S{1,64}) "
            r"and (?P<other>\S{1,64}) are those of two scans\."
        ),
        _("The echo times of {role} and {other} are those of two scans."),
    ),
    (
        re.compile(
            r"The repetition times of (?P<role>\S{1,64}) "
            r"and (?P<other>\S{1,64}) are those of two scans\."
        ),
        _("The repetition times of {role} and {other} are those of two scans."),
    ),
    (
        re.compile(
            r"Of a Dixon scan (?P<role>\S{1,64}) " r"and (?P<other>\S{1,64}) are different images\."
        ),
        _("Of a Dixon scan {role} and {other} are different images."),
    ),
    (
        re.compile(r"The Image Type says that (?P<role>\S{1,64}) was computed from other images\."),
        _("The Image Type says that {role} was computed from other images."),
    ),
    (
        re.compile(re.escape(NOT_FOR_PATIENTS)),
        _(
            "NOT FOR PATIENTS: this profile only shows how the program works; its result says "
            "nothing about a patient."
        ),
    ),
    (
        re.compile(
            r"The input contradicts the profile; a person confirmed it: "
            r"(?P<codes>[a-z, -]{1,300})\."
        ),
        _("The input contradicts the profile; a person confirmed it: {codes}."),
    ),
    (
        re.compile(
            r"The series were not certain for every role; a person confirmed: "
            r"(?P<codes>[a-z, -]{1,300})\."
        ),
        _("The series were not certain for every role; a person confirmed: {codes}."),
    ),
    (
        re.compile(
            r"ATTENTION: (?P<attribute>[A-Za-z ]{1,120}) of (?P<role>[a-z0-9, -]{1,120}) says "
            r"(?P<found>[a-z, ]{1,120}), but the profile is for (?P<expected>[a-z, ]{1,120})\."
        ),
        _("ATTENTION: {attribute} of {role} says {found}, but the profile is for {expected}."),
    ),
    (
        re.compile(r"The measurement report was not stored: (?P<why>.{1,400})"),
        _("The measurement report was not stored: {why}"),
    ),
)
"""Warnings of the lab, as it writes them, and as they are told; they have no codes."""


_REASONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"only (?P<free>\S{1,64}) GB free under the work folder: free space on its disk"
        ),
        _("only {free} GB are free on the disk of the lab's computer"),
    ),
    (
        re.compile(r"The GPU is tested: the last job failed \((?P<code>\S{1,64})\)\."),
        _("the GPU is being tested: the last job failed, {code}"),
    ),
    (
        re.compile(r"The GPU's self-test failed: (?P<why>.{1,400})"),
        _("the test of the GPU failed: {why}"),
    ),
    (
        re.compile(r"Orthanc did not answer \((?P<why>.{1,400})\)\."),
        _("the image archive (Orthanc) does not answer the lab: {why}"),
    ),
    (
        re.compile(r"Orthanc has a problem \(HTTP (?P<status>\d{1,9})\)\."),
        _("the image archive (Orthanc) has a problem, HTTP {status}"),
    ),
    (
        re.compile(
            r"(?P<count>\d{1,9}) different jobs in a row failed here, "
            r"the last with (?P<code>\S{1,64}), until (?P<until>.{1,400})"
        ),
        _("{count} different jobs in a row failed there, the last with {code}; until {until}"),
    ),
    (re.compile(r"(?P<why>.{1,400}), until (?P<until>\d{4}-.{1,60})"), _("{why}, until {until}")),
    (re.compile(r"until (?P<until>\d{4}-.{1,60})"), _("until {until}")),
)
"""Why an agent claims nothing, as it writes it, and as it is told; a person's words stay."""


@dataclass(frozen=True)
class Explanation:
    """What a user is told of an error."""

    message: str
    remedy: str
    detail: str
    """The error's own words in English, where the message is not them; else empty."""


def explain(error: SegRelayError) -> Explanation:
    """An error that a request has met; one of the settings is for the site's log."""
    if not isinstance(error, FixConfigurationError):
        return tell(error.code, error.message, error.remedy)
    message, remedy = MEANINGS["configuration"]
    return Explanation(gettext(message), gettext(remedy), "")


def tell(code: str, message: str, remedy: str) -> Explanation:
    """An error that was written down, in the active language."""
    if _reads_english():
        return Explanation(message, remedy, "")
    meaning, what_to_do = MEANINGS.get(code, UNKNOWN)
    return Explanation(gettext(meaning), gettext(what_to_do), f"{message} {remedy}".strip())


def tell_warning(text: str) -> str:
    """A warning of the lab in the active language; one that is not known stays as it is."""
    return _in_other_words(text, _WARNINGS)


def tell_reason(text: str) -> str:
    """Why an agent claims nothing, in the active language; what is not known stays as it is."""
    return text if _reads_english() else _in_other_words(text, _REASONS)


def explain_stage(stage: str) -> str:
    """What an agent does in a stage, in the active language; the word of one that is not known."""
    if stage and stage not in set(Stage):
        return gettext("working (%(stage)s)") % {"stage": stage}
    return gettext(Stage(stage or Stage.CLAIMED).sentence)


def _in_other_words(text: str, known: Sequence[tuple[re.Pattern[str], str]]) -> str:
    # Whoever can write to the bucket writes these: every repeat in a pattern has its limit too.
    if len(text) > LONGEST_SENTENCE:
        return text
    for pattern, sentence in known:
        if (found := pattern.fullmatch(text)) is not None:
            words = found.groupdict()
            told = {name: gettext(word) if word in NAMES else word for name, word in words.items()}
            return gettext(sentence).format(**told)
    return text


def _reads_english() -> bool:
    return (get_language() or "en").partition("-")[0] == "en"
