"""Whether Orthanc can be reached: nothing is claimed while it cannot."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from common.durable import write_durably
from common.errors import (
    FixConfigurationError,
    OrthancRefusedError,
    OrthancUnavailableError,
)
from common.orthanc import OrthancClient
from lab_side.log import event

logger = logging.getLogger("segrelay.agent")

CHECK_EVERY = 20.0
"""Seconds for which one answer is believed."""

PROBE_TIMEOUT, PROBE_RETRIES = 15.0, 1
"""Seconds, and repeats: the agent's loop waits, and must reap within the lease all the same."""


class OrthancGate:
    """Remembers when Orthanc last answered, in this life and in earlier ones.

    An address that never answered is taken for a wrong setting at start; one that answered
    before is taken for an outage, and waited for: an agent that starts while the hospital's
    server restarts must not stay down.
    """

    def __init__(
        self,
        client: OrthancClient,
        home: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = client.transport.settings
        timeout = min(PROBE_TIMEOUT, settings.read_timeout)
        retries = min(PROBE_RETRIES, settings.retries)
        self._settings = settings.model_copy(update={"read_timeout": timeout, "retries": retries})
        url = settings.url
        self._marker = home / f"orthanc-{hashlib.sha256(url.encode()).hexdigest()[:16]}.seen"
        self._monotonic = monotonic
        self._checked_at: float | None = None
        self._problem: OrthancUnavailableError | None = None

    def check_at_start(self) -> None:
        """Ask Orthanc who it is.

        Raises
        ------
        FixConfigurationError
            Wrong address, password or certificate.
        """
        if self._settings.is_exposed:
            event(
                logger,
                logging.WARNING,
                "plain http to Orthanc: password and images can be read on the way",
                setting="orthanc.allow_plain_http",
            )
        try:
            self._ask()
        except OrthancUnavailableError as error:
            if self._marker.exists():
                return
            raise FixConfigurationError(
                f"{error.message} at {self._settings.url}",
                code="orthanc-unreachable",
                remedy="Check the Orthanc address and that the server runs; "
                "once it has answered, later outages are waited for.",
            ) from None

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
                self._problem = error
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
        self._checked_at = self._monotonic()
        if not self._marker.exists():
            self._marker.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._marker, b"")
