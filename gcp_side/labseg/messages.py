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

_ONE_REMEDY: Mapping[str, Mapping[str, str]] = {
    _("Correct the request and send it again."): {
        "submission-refused": _("These series cannot make a request."),
        "request-invalid": _("The request is not valid."),
        "series-ids": _("The series are not given as they must be."),
        "series-twice": _("The same series or volume is named twice."),
        "priority": _("The priority is not a number from 0 to 9."),
        "confirm": _("The field confirm is neither true, false nor a list of codes of reasons."),
        "force": _("The field force is neither true nor false."),
    },
    _("Correct the address."): {
        "query-invalid": _("The address asks for something that cannot be."),
        "no-such-slice": _("The series has no such slice."),
        "no-such-segment": _("The segmentation has no such segment."),
    },
    _("Copy the id from Orthanc: five groups of eight hexadecimal digits."): {
        "series-id": _("A series is not named by an Orthanc id."),
        "study-id": _("The study is not named by an Orthanc id."),
        "orthanc-id": _("An id is not an Orthanc id."),
    },
    _("Give one series for each role."): {
        "series-count": _("The number of series is not that of the profile's roles."),
        "series-roles": _("The roles are not those that the lab's profile needs."),
        "roles": _("The roles are not those of the profile."),
    },
    _("It may have been deleted: look in Orthanc."): {
        "series-missing": _("The series is no longer in the image archive (Orthanc)."),
        "orthanc-not-found": _("The image archive (Orthanc) does not have what was asked for."),
    },
    _("Check the series in Orthanc, and choose the right ones."): {
        "series-refused": _("The series cannot be used."),
        "image-too-large": _("An image is larger than an MR image can be."),
        "same-series": _("The same series has two roles."),
        "other-patient": _("The series are of different patients."),
        "frame-of-reference": _("The series do not share one frame of reference."),
        "mixed-study": _("The images of one series belong to different studies."),
        "mixed-series": _("The images belong to different series."),
        "mixed-patient": _("The images of one series are of different patients."),
        "mixed-frame-of-reference": _(
            "The images of one series do not share one frame of reference."
        ),
        "duplicate-instance": _("The same image is there twice."),
    },
    _(
        "Look at the images: delete copies in Orthanc, or store images of another kind, as fat "
        "beside water, as a series of their own."
    ): {
        "part-duplicate": _("A volume of the series, or slices of it, are there twice."),
    },
    _("Store each volume as a series of its own, and choose those that are meant."): {
        "parts-contradict": _("Two attributes divide the series into different volumes."),
        "parts-unordered": _("The series holds several volumes, and nothing tells them apart."),
        "parts-shifted": _("The volumes of the series do not lie on the same places."),
        "parts-turned": _("The volumes of the series are turned against each other."),
        "parts-derived": _(
            "Some images of the series are originals, others are derived, such as subtractions."
        ),
        "parts-dates": _("The times of the volumes are more than half a day apart."),
        "part-key-missing": _("Some images of the series lack what tells the volumes apart."),
        "mixed-rescale": _("Some images of the series have a Rescale Slope, others have none."),
        "several-echoes": _("The series holds images of several echo times."),
        "several-weightings": _("The series holds images of several diffusion weightings."),
    },
    _("Look at the series in Orthanc, or choose another one."): {
        "series-not-shown": _("The series cannot be shown."),
        "mixed-matrix": _("The slices of the series differ in size."),
        "mixed-spacing": _("The slices of the series differ in Pixel Spacing."),
        "mixed-pixel-spacing": _("The slices of the series differ in Pixel Spacing."),
        "sheared-stack": _("The slices are stacked at a slant."),
        "too-few-slices": _("The series has too few slices."),
        "not-greyscale": _("The images are not plain greyscale."),
        "inverted-greyscale": _("The images are inverted: low values are white (MONOCHROME1)."),
        "pixel-depth": _("The images' bits a voxel are not of a kind that is read."),
        "no-position": _("An image has no place in space."),
        "no-pixel-spacing": _("The series has no usable Pixel Spacing."),
        "no-frame-of-reference": _("An image has no frame of reference."),
        "no-uid": _("An image lacks one of its identifiers."),
    },
    _("Nothing: it is tried again by itself."): {
        "series-changing": _("The series changed while it was downloaded."),
        "transient": _("It does not work just now."),
        "store-unavailable": _("The queue does not answer."),
        "push-keys": _("Google's public keys cannot be fetched."),
        "orthanc-unavailable": _("The image archive (Orthanc) does not answer."),
        "attempt-failed": _("An attempt failed."),
        "worker-died": _("The program that segments ended by itself."),
        "worker-hung": _("The program that segments hung and was stopped."),
        "worker-stopped": _("The program that segments was stopped."),
        "gpu-error": _("The lab's GPU met an error."),
        "stage-died": _("The agent met an error."),
        "thread-died": _("The agent met an error."),
        "stopping": _("The agent was stopped."),
        "paused": _("The agent was paused."),
        "agent-lost": _("The agent died or fell silent."),
        "taken-by-operator": _("An operator took the job from the agent."),
        "hurried-by-operator": _("An operator ended the wait."),
    },
    _("Send the complete series to Orthanc, then submit the request again."): {
        "missing-slice": _("A slice of the series is missing."),
        "uneven-spacing": _("The slices are not evenly spaced; one may be missing."),
        "parts-changed": _("The series holds other volumes than when the request was submitted."),
    },
    _(
        "Send the complete series to Orthanc, or delete there the images of a phase that was "
        "stopped, then submit the request again."
    ): {
        "part-incomplete": _("A volume of the series lacks slices."),
    },
    _("Send the series to Orthanc again; the stored copy is damaged."): {
        "pixel-encoding": _("What the images say of their bits a voxel contradicts itself."),
        "missing-pixel-data": _("An image of the series is without pixel data."),
        "unreadable-instance": _("An image of the series cannot be read."),
    },
    _("Let Orthanc store the series as Explicit VR Little Endian."): {
        "compressed": _("The images are compressed in a way that cannot be read here."),
        "compressed-unreadable": _("The images are compressed in a way that cannot be read here."),
    },
    _("Check the segmentation in Orthanc."): {
        "segmentation-unreadable": _("The segmentation cannot be read."),
        "segmentation-broken": _("The segmentation cannot be read."),
        "segmentation-type": _("The segmentation is of a type that is not read here."),
        "segmentation-too-large": _("The segmentation is too large to be shown."),
        "not-dicom": _("The file is not DICOM."),
        "too-many-segments": _("The segmentation has too many segments."),
    },
    _("Submit the request again."): {
        "seg-damaged": _("The segmentation was damaged on the lab's computer before it was sent."),
        "report-damaged": _(
            "The measurement report was damaged on the lab's computer before it was sent."
        ),
        "manifest-invalid": _("The lab cannot read the request."),
        "manifest-not-json": _("The lab cannot read the request."),
        "manifest-too-large": _("The lab cannot read the request."),
        "name-invalid": _("The lab cannot read the request."),
        "name-mismatch": _("The lab cannot read the request."),
    },
    _("Free space on it; it is tried again by itself."): {
        "store-full": _("The disk of the queue is full."),
        "orthanc-disk-full": _("The disk of the image archive (Orthanc) is full."),
    },
    _("Tell the administrator of the image archive (Orthanc)."): {
        "orthanc-refused": _("The image archive (Orthanc) refuses the request."),
        "orthanc-answer": _("What answers in the place of the image archive is not an Orthanc."),
        "orthanc-too-large": _("The image archive (Orthanc) refuses an upload of this size."),
        "orthanc-foreign-instance": _(
            "The image archive (Orthanc) holds something else in the place of the segmentation."
        ),
    },
    _("Tell the people who look after the lab's computer."): {
        "failed": _("The segmentation failed."),
        "inference-failed": _("The network's answer cannot be used."),
        "output-not-finite": _("The network's answer cannot be used."),
        "output-shape": _("The network's answer cannot be used."),
        "out-of-memory": _("The lab's computer ran out of memory."),
        "local-disk": _("The disk of the lab's computer is full or broken."),
        "limit-reached": _(
            "A program has reached a limit of its computer (open files, processes or memory)."
        ),
        "worker-error": _("The program that segments met an error."),
        "worker-memory": _("The program that segments took too much memory."),
        "gpu-sick": _("The lab's GPU does not work."),
        "rejected": _("The lab cannot accept the request."),
        "schema-newer": _("The lab's program is older than the site's."),
        "unsigned": _("It is not signed, and the reader believes only what is."),
        "key-unknown": _("It is signed with a key that the reader does not know."),
        "signature-wrong": _("Its signature is wrong: it was altered."),
        "result-unreadable": _("The result cannot be read or believed."),
    },
}
"""By what to do: the codes, and what has happened."""

_OWN_REMEDY: dict[str, tuple[str, str]] = {
    "confirmation-needed": (
        _("The series need a person's confirmation."),
        _("Look at the series; if they are the right ones all the same, confirm it."),
    ),
    "profile-unknown": (_("The profile is not on offer."), _("Choose another profile.")),
    "series-empty": (_("A series has no images."), _("Wait until the scanner has sent it.")),
    "not-mr": (_("A series is not MR."), _("Choose an MR series.")),
    "other-study": (_("The series do not belong to one study."), _("Choose series of one study.")),
    "job-not-found": (_("There is no such request."), _("Look for it in the list of requests.")),
    "job-state": (_("The state of the request does not allow this."), _("Reload the page.")),
    "job-open": (_("The request has not ended."), _("Wait for it, or cancel it.")),
    "job-succeeded": (
        _("The request has succeeded."),
        _("Use its result, or ask for a new segmentation."),
    ),
    "series-too-large": (
        _("The series is too large to be shown."),
        _("Open it in Orthanc's own viewer."),
    ),
    "series-incomplete": (
        _("The series is not complete in the image archive (Orthanc)."),
        _("Wait until the scanner has sent everything, then submit the request again."),
    ),
    "series-exceeds-disk": (
        _("The series are larger than the disk of the lab's computer."),
        _("Choose smaller series, or ask the lab for a larger disk."),
    ),
    "mixed-orientation": (
        _("The slices of the series are not parallel."),
        _("Choose a series of one orientation, without localizer images."),
    ),
    "duplicate-slice": (
        _("Two slices of the series lie at the same place."),
        _("It may hold several phases: choose one of them, or remove the duplicate."),
    ),
    "part-needed": (_("The series holds several volumes."), _("Choose one of them.")),
    "volume-id": (
        _("A name does not name a volume: behind the colon belongs its number, from 0."),
        _(
            "Take the names of the volumes from the series' parts, as the study's address "
            "answers them."
        ),
    ),
    "no-such-part": (
        _("The series has no volume of this number."),
        _("Open the page of the study again: the series may have changed."),
    ),
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
    "header-value": (
        _("A value in the headers of the images cannot be read."),
        _("Correct the attribute that is named in Orthanc, or send the series again."),
    ),
    "header-unusable": (
        _("The headers of the series cannot be carried over to a segmentation."),
        _("Correct the patient's and the study's attributes in Orthanc."),
    ),
    "not-a-segmentation": (
        _("The instance is not a segmentation (SEG)."),
        _("Give the Orthanc id of a SEG."),
    ),
    "not-on-grid": (
        _("The segmentation does not lie on the grid of this series."),
        _("Ask for the series that it was made on."),
    ),
    "no-reference": (
        _("The segmentation does not name the series that it was made on."),
        _("Name the series in the address."),
    ),
    "seg-unreadable": (
        _("The stored segmentation cannot be read."),
        _("Look at it in Orthanc, remove it if it is damaged, then submit the request again."),
    ),
    "configuration": (
        _("The site is not set up correctly."),
        _("Tell the administrator; the site's log names the setting."),
    ),
    "object-refused": (
        _("A file of the queue can be neither read nor moved."),
        _("Check its owner and permissions; it is tried again by itself."),
    ),
    "attempts-used-up": (
        _("All attempts failed."),
        _("Submit the request again once the cause is mended."),
    ),
    "role-mismatch": (
        _("The images do not look like what their roles say."),
        _("Choose the right series for each role."),
    ),
    "labels": (
        _("The agent lacks a label that the request asks for."),
        _("Nothing, if another agent has it. Else ask the people who look after the lab."),
    ),
}
"""By code: what has happened, and what to do about that alone."""

MEANINGS: Mapping[str, tuple[str, str]] = {
    code: (meaning, remedy)
    for remedy, meanings in _ONE_REMEDY.items()
    for code, meaning in meanings.items()
} | _OWN_REMEDY
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
