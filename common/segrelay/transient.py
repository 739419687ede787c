"""Transient or final: what an error means for the job, and for the program.

Between a program and its servers stand proxies, login pages, firewalls and restarts. Any of
them can answer anything for some minutes. So what a *server* says is final only where it has
never answered correctly since the program began, or has said so for longer than the patience;
what is wrong with the *job* itself, or with this computer's own settings, is final at once.

:data:`BY_CLASS` and :data:`BY_CODE` are the one table of that. A test compares it with the tree
of errors and with every code that the code raises about a server.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum

from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    LeaseLostError,
    PermanentError,
    QueueConflictError,
    SegRelayError,
    TransientError,
)

PATIENCE = timedelta(minutes=60)
"""How long wrong answers of a server that has answered correctly before are transient."""

LONGEST_GAP = timedelta(minutes=10)
"""Two wrong answers further apart (or half the patience, where that is more) are two failures."""

MOST_REMEMBERED = 2000
"""Objects whose failure is remembered; the oldest is forgotten."""


class Finality(StrEnum):
    """The meaning of an error for the job."""

    FINAL = "final"
    """The job, this computer's own settings, or what an operator asked for: at once."""
    IF_IT_LASTS = "if-it-lasts"
    """What a server says: from the start, or for longer than the patience."""
    TRANSIENT = "transient"
    """Never: it is tried again, and costs no attempt."""
    COUNTED = "counted"
    """It is one of the job's attempts."""


BY_CLASS: Mapping[type[SegRelayError], Finality] = {
    FixConfigurationError: Finality.FINAL,
    PermanentError: Finality.FINAL,
    TransientError: Finality.TRANSIENT,
    AttemptFailedError: Finality.COUNTED,
    QueueConflictError: Finality.TRANSIENT,
    LeaseLostError: Finality.FINAL,
}
"""What an error of a class, or of one derived from it, means unless its code says otherwise."""

BY_CODE: Mapping[str, Finality] = {
    # What Orthanc says, or a proxy before it.
    "orthanc-address": Finality.IF_IT_LASTS,
    "orthanc-answer": Finality.IF_IT_LASTS,
    "orthanc-certificate-authority": Finality.IF_IT_LASTS,
    "orthanc-certificate-date": Finality.IF_IT_LASTS,
    "orthanc-certificate-name": Finality.IF_IT_LASTS,
    "orthanc-client-certificate": Finality.IF_IT_LASTS,
    "orthanc-credentials": Finality.IF_IT_LASTS,
    "orthanc-proxy": Finality.IF_IT_LASTS,
    "orthanc-proxy-credentials": Finality.IF_IT_LASTS,
    "orthanc-redirect": Finality.IF_IT_LASTS,
    "orthanc-tls": Finality.IF_IT_LASTS,
    "orthanc-tls-version": Finality.IF_IT_LASTS,
    # A limit of a proxy's: other SEGs may be small enough, and this one waits for an operator.
    "orthanc-too-large": Finality.TRANSIENT,
    # In Orthanc's own voice, or of what it certainly holds.
    "compressed-unreadable": Finality.FINAL,
    "orthanc-foreign-instance": Finality.FINAL,
    "orthanc-id": Finality.FINAL,
    "orthanc-not-found": Finality.FINAL,
    "orthanc-refused": Finality.FINAL,
    "series-missing": Finality.FINAL,
    # What the bucket says, or a proxy before it.
    "bucket-certificate": Finality.IF_IT_LASTS,
    "bucket-credentials": Finality.IF_IT_LASTS,
    "bucket-forbidden": Finality.IF_IT_LASTS,
    "bucket-missing": Finality.IF_IT_LASTS,
    "bucket-proxy": Finality.IF_IT_LASTS,
    "bucket-refused": Finality.IF_IT_LASTS,
    "bucket-retention": Finality.IF_IT_LASTS,
    # Read from this computer's settings; no server is asked.
    "bucket-emulator": Finality.FINAL,
    "bucket-endpoint": Finality.FINAL,
    "ca-bundle": Finality.FINAL,
    "orthanc-ca-file": Finality.FINAL,
    "orthanc-plain-http": Finality.FINAL,
    "orthanc-token": Finality.FINAL,
    "orthanc-two-credentials": Finality.FINAL,
}
"""What an error of a code means, whatever its class."""


def finality_of(error: SegRelayError) -> Finality:
    """Look an error up in the table: by its code, else by the nearest of its classes."""
    by_code = BY_CODE.get(error.code)
    if by_code is not None:
        return by_code
    for kind in type(error).__mro__:
        if kind in BY_CLASS:
            return BY_CLASS[kind]
    return Finality.FINAL


class OwnRefusalError(FixConfigurationError):
    """A server's refusal that is final at once, although it has answered correctly before.

    It is in the server's own words, and what it refuses has never succeeded since the program
    began: a right that an account never had does not come by waiting.
    """


class AnswerHistory:
    """Remembers what one server has answered since the program began; thread-safe.

    Parameters
    ----------
    away:
        The error that a transient failure becomes.
    refused:
        The error that a lasting failure with one object alone becomes, while the server answers
        correctly about others.
    patience:
        How long a failure may last; zero: not at all.
    """

    def __init__(
        self,
        away: type[TransientError],
        *,
        refused: type[PermanentError] = PermanentError,
        patience: timedelta = PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._away = away
        self._refused = refused
        self._patience = patience.total_seconds()
        self._gap = max(LONGEST_GAP.total_seconds(), self._patience / 2)
        self._monotonic = monotonic
        self._succeeded_at: dict[str, float] = {}
        """When each operation last succeeded, by the monotonic clock."""
        self._failures: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        """First and last wrong answer since the last correct one, by operation and object."""
        self._lock = threading.Lock()

    @property
    def has_answered(self) -> bool:
        """Whether there ever was a correct answer: until then the address may be wrong."""
        return bool(self._succeeded_at)

    def has_succeeded(self, operation: str) -> bool:
        """Return whether there was a correct answer to this operation."""
        return operation in self._succeeded_at

    @contextmanager
    def judging(self, operation: str, subject: str = "") -> Iterator[None]:
        """Note how the block ends: with a correct answer, or an error of the server's.

        Raises
        ------
        SegRelayError
            As :meth:`judge` says, in place of the block's own.
        """
        try:
            yield
        except SegRelayError as error:
            judged = self.judge(error, operation, subject)
            if judged is error:
                raise
            raise judged from error
        self.note_success(operation, subject)

    def note_success(self, operation: str, subject: str = "") -> None:
        """Note that the server has answered correctly."""
        with self._lock:
            self._succeeded_at[operation] = self._monotonic()
            self._failures.pop((operation, subject), None)

    def judge(self, error: SegRelayError, operation: str, subject: str = "") -> SegRelayError:
        """Return the error as it is to be treated now; itself unless the table says if it lasts."""
        if finality_of(error) is not Finality.IF_IT_LASTS:
            return error
        with self._lock:
            if not self._succeeded_at or isinstance(error, OwnRefusalError):
                if isinstance(error, TransientError):
                    return error
                return FixConfigurationError(error.message, code=error.code, remedy=error.remedy)
            since, now = self._note_failure((operation, subject)), self._monotonic()
            is_alone = bool(subject) and self._succeeded_at.get(operation, -1.0) > since
            has_lasted = now - since >= self._patience
        if isinstance(error, TransientError) and is_alone and not has_lasted:
            # About this object, while others are answered: its job knows what to do.
            return error
        return self._kind_of(error, is_alone, has_lasted, bool(subject))(
            error.message, code=error.code, remedy=error.remedy
        )

    def _kind_of(
        self, error: SegRelayError, is_alone: bool, has_lasted: bool, has_subject: bool
    ) -> type[SegRelayError]:
        if not has_lasted:
            return self._away
        is_objects = is_alone or (has_subject and isinstance(error, TransientError))
        return self._refused if is_objects else FixConfigurationError

    def _note_failure(self, key: tuple[str, str]) -> float:
        """Remember a wrong answer; returns since when there was no correct one."""
        now = self._monotonic()
        since, last = self._failures.pop(key, (now, now))
        if now - last > self._gap:
            since = now
        self._failures[key] = (since, now)
        while len(self._failures) > MOST_REMEMBERED:
            self._failures.popitem(last=False)
        return since
