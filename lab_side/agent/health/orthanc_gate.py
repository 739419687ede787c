"""Whether Orthanc can be used: nothing is claimed while it cannot.

Two signs say so: it does not answer ``GET /system`` as an Orthanc does, or it does and the last
download failed all the same (a login page before everything else, a disk that is gone). After the
latter, claiming stops for a pause that doubles until a download succeeds.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from lab_side.log import log_error, log_event
from segrelay import retry
from segrelay.errors import OrthancUnavailableError, TransientError
from segrelay.orthanc import OrthancClient

CHECK_EVERY = 20.0
"""Seconds for which one answer is believed."""

PROBE_TIMEOUT, PROBE_RETRIES = 15.0, 1
"""Seconds, and repeats: the agent's loop waits, and must reap within the lease all the same."""

logger = logging.getLogger("segrelay.gate")


class OrthancGate:
    """Remembers when Orthanc last answered, and whether downloads succeed."""

    def __init__(
        self, client: OrthancClient, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._monotonic = monotonic
        self._checked_at: float | None = None
        self._problem: TransientError | None = None
        self._failures = 0
        """Downloads in a row."""
        self._closed: tuple[float, TransientError] | None = None
        """Until when nothing is claimed, by the monotonic clock, and why."""

    @property
    def has_answered(self) -> bool:
        """Whether it ever did, in this life: until then its address may be wrong."""
        return self._client.history.has_answered

    def check_at_start(self, *, is_patient: bool) -> None:
        """Ask Orthanc who it is.

        ``is_patient``: an Orthanc that is away is waited for. A computer may be up before its
        network and before the hospital's server, and nobody is there to start the agent again.

        Raises
        ------
        FixConfigurationError
            Wrong password or certificate, or the address of something else.
        OrthancUnavailableError
            It is away, and is not waited for.
        """
        if self._client.transport.settings.is_exposed:
            log_event(
                logger,
                logging.WARNING,
                "Orthanc called by plain http: password and images can be read on the way",
                setting="orthanc.allow_plain_http",
            )
        problem = self.problem()
        if problem is None:
            return
        if not is_patient:
            raise problem
        log_error(logger, logging.WARNING, "Orthanc has not answered yet; jobs wait", problem)

    def problem(self) -> TransientError | None:
        """Why Orthanc cannot be used now; None when it answered a moment ago.

        Raises
        ------
        FixConfigurationError
            It refuses the credentials, or something else answers: it has never answered rightly,
            or has not for longer than the patience.
        """
        now = self._monotonic()
        if self._checked_at is None or now - self._checked_at >= CHECK_EVERY:
            try:
                self._ask()
            except TransientError as error:
                self._problem = error if self.has_answered else self._never_there(error)
            self._checked_at = self._monotonic()
        closed = self._closed
        if self._problem is None and closed is not None and self._monotonic() < closed[0]:
            return closed[1]
        return self._problem

    def note_download(self, error: OrthancUnavailableError | None) -> None:
        """A job's series have come, or why they have not; called from any thread."""
        if error is None:
            self._failures, self._closed = 0, None
            return
        pause = retry.DOWNLOAD.pause(self._failures)
        self._failures += 1
        self._closed = (self._monotonic() + pause, error)
        self.doubt()

    def doubt(self) -> None:
        """Ask again next time: a transfer just failed."""
        self._checked_at = None

    def close(self) -> None:
        """Close the connections to Orthanc."""
        self._client.close()

    def _ask(self) -> None:
        # With the secrets that are in use now.
        settings = self._client.transport.settings
        timeout = min(PROBE_TIMEOUT, settings.read_timeout)
        retries = min(PROBE_RETRIES, settings.retries)
        with contextlib.closing(
            self._client.with_settings(read_timeout=timeout, retries=retries)
        ) as probe:
            probe.system()
        self._problem = None

    def _never_there(self, error: TransientError) -> OrthancUnavailableError:
        address = self._client.transport.settings.url
        return OrthancUnavailableError(
            error.message,
            code=error.code,
            remedy=f"Check the address, {address}, and that the server runs.",
        )
