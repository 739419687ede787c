"""Whether Orthanc can be reached: nothing is claimed while it cannot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from common.errors import (
    FixConfigurationError,
    OrthancRefusedError,
    OrthancUnavailableError,
)
from common.orthanc import OrthancClient
from lab_side.log import event, trouble

CHECK_EVERY = 20.0
"""Seconds for which one answer is believed."""

PROBE_TIMEOUT, PROBE_RETRIES = 15.0, 1
"""Seconds, and repeats: the agent's loop waits, and must reap within the lease all the same."""

logger = logging.getLogger("segrelay.gate")


class OrthancGate:
    """Remembers when Orthanc last answered."""

    def __init__(
        self, client: OrthancClient, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        settings = client.transport.settings
        timeout = min(PROBE_TIMEOUT, settings.read_timeout)
        retries = min(PROBE_RETRIES, settings.retries)
        self._settings = settings.model_copy(update={"read_timeout": timeout, "retries": retries})
        self._monotonic = monotonic
        self._checked_at: float | None = None
        self._problem: OrthancUnavailableError | None = None
        self._has_answered = False

    @property
    def has_answered(self) -> bool:
        """Whether it ever did, in this life: until then its address may be wrong."""
        return self._has_answered

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
        if self._settings.is_exposed:
            event(
                logger,
                logging.WARNING,
                "plain http to Orthanc: password and images can be read on the way",
                setting="orthanc.allow_plain_http",
            )
        problem = self.problem()
        if problem is None:
            return
        if not is_patient:
            raise problem
        trouble(logger, logging.WARNING, "Orthanc has not answered yet; jobs wait", problem)

    def problem(self) -> OrthancUnavailableError | None:
        """Why Orthanc cannot be used now; None when it answered a moment ago.

        Raises
        ------
        FixConfigurationError
            It refuses the credentials.
        """
        now = self._monotonic()
        if self._checked_at is None or now - self._checked_at >= CHECK_EVERY:
            try:
                self._ask()
            except OrthancUnavailableError as error:
                self._problem = error if self._has_answered else self._never_there(error)
            self._checked_at = self._monotonic()
        return self._problem

    def doubt(self) -> None:
        """Ask again next time: a transfer just failed."""
        self._checked_at = None

    def _ask(self) -> None:
        probe = OrthancClient(self._settings)
        try:
            probe.system()
        except OrthancRefusedError as error:
            raise FixConfigurationError(
                error.message, code=error.code, remedy="Check the Orthanc address."
            ) from None
        finally:
            probe.close()
        self._problem = None
        self._has_answered = True

    def _never_there(self, error: OrthancUnavailableError) -> OrthancUnavailableError:
        return OrthancUnavailableError(
            error.message,
            code=error.code,
            remedy=f"Check the address, {self._settings.url}, and that the server runs.",
        )
