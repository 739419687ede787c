"""The error tree, grouped by what the caller must do.

SegRelayError
├── FixConfigurationError      stop the program (exit code 78); an operator must change a setting
├── TransientError             retry with backoff, then hand the job back: it does not count
│   ├── StoreUnavailableError      the bucket did not answer
│   │   └── ObjectRefusedError         it answers, and refuses this one object: pass it over
│   ├── OrthancUnavailableError    Orthanc did not answer, or is overloaded
│   └── LocalDiskError             the local disk is full or refused a write
│       └── LimitReachedError          this computer gives no more files, processes or memory
├── PermanentError             the job has failed: trying it again gives the same answer
│   ├── ManifestRejectedError      the manifest cannot be believed or read: to rejected/
│   ├── SeriesRefusedError         the images cannot be placed or do not fit the profile
│   │   ├── SeriesMissingError         (also NotFoundError)
│   │   └── OtherStudyError            they belong to different studies
│   ├── OrthancRefusedError        Orthanc refuses this request for good (4xx, foreign bytes)
│   │   └── OrthancNotFoundError       (also NotFoundError)
│   ├── NotFoundError              what was asked for does not exist
│   └── InferenceError             the network ran and its answer cannot be used
├── AttemptFailedError         this attempt failed after work started: it counts, try again
└── QueueConflictError         another process moved first; read again, nothing is broken
    ├── ObjectNotFoundError
    ├── ObjectExistsError
    ├── PreconditionFailedError
    └── LeaseLostError             another process owns this agent id now: stop

Where each comes from, along the data flow:

    manifest ─▶ claim ─▶ download ─▶ read, check ─▶ infer ─▶ SEG ─▶ upload ─▶ result
    Manifest-   Queue-   Orthanc-    SeriesRefused  Inference Local- Orthanc-   Queue-
    Rejected    Conflict Unavailable                Attempt-  Disk   Refused,   Conflict,
                         Refused                    Failed           Unavailable Store-
                                                                                Unavailable

Every error has a ``code`` (stable, kebab-case, for programs), a message that says what
happened and a ``remedy`` that says what to do. Neither may hold a secret or a patient's
identity: both are shown to users and written to the bucket.
"""

from __future__ import annotations

__all__ = [
    "AttemptFailedError",
    "FixConfigurationError",
    "InferenceError",
    "LeaseLostError",
    "LimitReachedError",
    "LocalDiskError",
    "ManifestRejectedError",
    "NotFoundError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "ObjectRefusedError",
    "OrthancNotFoundError",
    "OrthancRefusedError",
    "OrthancUnavailableError",
    "OtherStudyError",
    "PermanentError",
    "PreconditionFailedError",
    "QueueConflictError",
    "SegRelayError",
    "SeriesMissingError",
    "SeriesRefusedError",
    "StoreUnavailableError",
    "TransientError",
]

_DELETED = "It may have been deleted: look in Orthanc, then submit again."


class SegRelayError(Exception):
    """Base of every error that SegRelay raises on purpose.

    Parameters
    ----------
    message:
        What happened, in one sentence.
    code:
        Stable reason code in kebab-case; the class default where not given.
    remedy:
        What the reader must do; the class default where not given.
    """

    code: str = "error"
    remedy: str = "See the agent's log for this job."

    def __init__(self, message: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.remedy = remedy if remedy is not None else type(self).remedy


class FixConfigurationError(SegRelayError):
    """A setting is missing or wrong: the program stops with exit code 78."""

    code = "configuration"
    remedy = "Correct the setting and start again."


class TransientError(SegRelayError):
    """The world is not ready: retry with backoff. Does not count as an attempt."""

    code = "transient"
    remedy = "Nothing: it is retried automatically."


class StoreUnavailableError(TransientError):
    """The bucket (or the directory used as one) did not answer."""

    code = "store-unavailable"


class ObjectRefusedError(StoreUnavailableError):
    """The store answers, but this one object cannot be read, moved or written.

    Where many objects are read, this one is named and passed over.
    """

    code = "object-refused"
    remedy = (
        "Look at the file's owner, permissions and flags (ls -l, lsattr), and correct or remove "
        "it; it is tried again automatically."
    )


class OrthancUnavailableError(TransientError):
    """Orthanc did not answer, broke off, or answered with a server error."""

    code = "orthanc-unavailable"


class LocalDiskError(TransientError):
    """The local disk is full or refused a write."""

    code = "local-disk"
    remedy = "Free space on the agent's work folder; the job is retried automatically."


class LimitReachedError(LocalDiskError):
    """The program has all the open files, processes, threads or memory that it may have.

    Treated as a disk that refuses: what is in hand is tried again, and costs no attempt.
    """

    code = "limit-reached"
    remedy = "Raise the limit of the account or the service; it is retried automatically."


class PermanentError(SegRelayError):
    """This job cannot succeed as it is; trying again gives the same answer."""

    code = "failed"


class ManifestRejectedError(PermanentError):
    """The manifest cannot be read or believed: it goes to rejected/ with a reason beside it."""

    code = "manifest-invalid"
    remedy = "Submit the job again from the hospital site."


class SeriesRefusedError(PermanentError):
    """The images cannot be placed in space, or do not fit the profile."""

    code = "series-refused"
    remedy = "Check the series in Orthanc and submit the right ones."


class OtherStudyError(SeriesRefusedError):
    """Series of one job belong to different studies."""

    code = "other-study"
    remedy = "Choose series of one study."

    @classmethod
    def of(cls, series: str) -> OtherStudyError:
        """The error that names the series which differs."""
        return cls(f"{series} belongs to another study than the job.")


class OrthancRefusedError(PermanentError):
    """Orthanc refuses the request for good."""

    code = "orthanc-refused"


class NotFoundError(PermanentError):
    """What was asked for does not exist."""


class SeriesMissingError(SeriesRefusedError, NotFoundError):
    """Orthanc has no series of this id."""

    code = "series-missing"
    remedy = _DELETED


class OrthancNotFoundError(OrthancRefusedError, NotFoundError):
    """Orthanc has no resource of this id."""

    code = "orthanc-not-found"
    remedy = _DELETED


class InferenceError(PermanentError):
    """The network ran and its answer cannot be used (not finite, wrong shape)."""

    code = "inference-failed"


class AttemptFailedError(SegRelayError):
    """This attempt broke after work had started; it counts towards ``max_attempts``."""

    code = "attempt-failed"
    remedy = "Nothing: the job is tried again until its attempts are used up."


class QueueConflictError(SegRelayError):
    """Another process changed the object first; read it again."""

    code = "conflict"
    remedy = "Nothing: the other side's change remains."


class ObjectNotFoundError(QueueConflictError):
    """No object of this name exists."""

    code = "not-found"


class ObjectExistsError(QueueConflictError):
    """An object of this name exists already."""

    code = "exists"


class PreconditionFailedError(QueueConflictError):
    """The object is not the generation that was expected."""

    code = "precondition-failed"


class LeaseLostError(QueueConflictError):
    """Another process has taken over this agent id."""

    code = "lease-lost"
    remedy = "Give each agent process its own agent_id."
