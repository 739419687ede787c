"""What this app refuses, as leaves of the tree in :mod:`segrelay.errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segrelay.errors import NotFoundError, PermanentError

if TYPE_CHECKING:
    from gcp_side.labseg.jobs.confirmation import Reason


class SubmissionRefusedError(PermanentError):
    """These series cannot make a job; nothing was stored or sent."""

    code = "submission-refused"
    remedy = "Correct the request and send it again."


class ConfirmationNeededError(PermanentError):
    """Something speaks against the series that nobody has confirmed; nothing was stored.

    Parameters
    ----------
    message:
        As the base.
    reasons:
        Everything that speaks against them, confirmed or not; at least one.
    """

    code = "confirmation-needed"
    remedy = (
        "Look at the series. If they are the right ones all the same, confirm it: on the page, "
        'with "confirm": true in the request, or with --confirm.'
    )

    def __init__(self, message: str, *, reasons: Sequence[Reason]) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)


class JobNotFoundError(NotFoundError):
    """No job has this id."""

    code = "job-not-found"
    remedy = "Look the id up with: manage.py labseg list"


class JobStateError(PermanentError):
    """The job is in a state that refuses this; nothing was changed."""

    code = "job-state"


class QueryRefusedError(PermanentError):
    """The address asks for something that cannot be: a page, a state, a profile."""

    code = "query-invalid"
    remedy = "Correct the address."


class SegmentationUnreadableError(PermanentError):
    """The instance is no SEG, or its frames cannot be placed on the series."""

    code = "segmentation-unreadable"
    remedy = "Check the instance in Orthanc."


class NoSuchSliceError(NotFoundError):
    """The series has no slice of this index."""

    code = "no-such-slice"
    remedy = "Look at the series in Orthanc, or choose another one."


class SeriesNotShownError(PermanentError):
    """The series cannot be placed in space or decoded, so it is not shown at all."""

    code = "series-not-shown"
    remedy = "Look at the series in Orthanc, or choose another one."


class NoSuchVolumeError(SubmissionRefusedError, SeriesNotShownError):
    """The series has no volume of this number: neither a job nor the viewer can take it."""

    code = "no-such-part"
    remedy = "Open the page of the study again: the series may have changed."
