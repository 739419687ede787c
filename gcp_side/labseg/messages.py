"""Errors, notices and stages in the language of the reader.

Errors come from ``segrelay`` and from the lab as a code and English text. Readers of English see
that text, which knows names and numbers; others see what the code means, and the text as a detail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.utils.translation import get_language, gettext, gettext_noop

from segrelay.errors import FixConfigurationError, SegRelayError
from segrelay.notices import Notice, fill, read_notices
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

UNKNOWN = (
    _("Something failed that has no words in this language."),
    _("Show the English words to the administrator."),
)
"""A newer agent may have codes that this site does not know."""


@dataclass(frozen=True)
class Explanation:
    """What a user sees of an error."""

    message: str
    remedy: str
    detail: str
    """The error's own words in English, where the message is not them; else empty."""


def explain(error: SegRelayError) -> Explanation:
    """An error that a request has met; one of the settings is for the site's log."""
    if not isinstance(error, FixConfigurationError):
        return explain_code(error.code, error.message, error.remedy)
    message, remedy = MEANINGS["configuration"]
    return Explanation(gettext(message), gettext(remedy), "")


def explain_code(code: str, message: str, remedy: str) -> Explanation:
    """An error that was written down, in the active language."""
    if _reads_english():
        return Explanation(message, remedy, "")
    meaning, what_to_do = MEANINGS.get(code, UNKNOWN)
    return Explanation(gettext(meaning), gettext(what_to_do), f"{message} {remedy}".strip())


def explain_warnings(texts: Iterable[str], notices: object) -> list[str]:
    """The notes on a result in the active language; one without a known code in English.

    Parameters
    ----------
    texts, notices:
        Columns ``warnings`` and ``notices`` of a job.
    """
    by_text = {item.text: item for item in read_notices(notices)}
    return [explain_notice(text, by_text.get(text)) for text in texts]


def explain_notice(text: str, notice: Notice | None) -> str:
    """A note or reason of the lab in the active language; ``text`` where its code is not known."""
    if notice is None or _reads_english():
        return text
    if notice.code in MEANINGS:
        return gettext(MEANINGS[notice.code][0])
    parameters = dict(notice.parameters)
    if "why" in parameters:
        parameters["why"] = gettext(MEANINGS.get(str(parameters["why"]), UNKNOWN)[0])
    try:
        return fill(notice.code, parameters, gettext)
    except (KeyError, ValueError):
        return text


def explain_stage(stage: str) -> str:
    """What an agent does in a stage, in the active language; the word of one that is not known."""
    if stage and stage not in set(Stage):
        return gettext("working (%(stage)s)") % {"stage": stage}
    return gettext(Stage(stage or Stage.CLAIMED).sentence)


def _reads_english() -> bool:
    return (get_language() or "en").partition("-")[0] == "en"
