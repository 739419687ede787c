"""Orders of this computer's operators to the agent: to pause, or to drain.

::

    home/control/pause.json    holds until it is taken away, or until the time that it names
    home/control/drain.json    an order to the agent that runs now; it takes the file away

Files, because they work on every system and without any right on the agent's process. One that
cannot be read is no order: it is logged once, and the agent goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from lab_side.log import log_event
from segrelay.errors import LimitReachedError
from segrelay.manifest import utc_now
from segrelay.notices import Notice, OptionalNotice, notice
from segrelay.parsing.documents import Moment, read_document
from segrelay.parsing.json_reader import JsonLimits, UnreadableJsonError
from segrelay.system.durable import describe, disk_errors, write_durably
from segrelay.system.sharing_violation import retry_sharing_violation
from segrelay.system.system_limits import raise_if_limit

POLL_EVERY = 0.5
"""Seconds between two readings by a running agent."""

ORDER_LIFE = timedelta(seconds=30)
"""An older order to drain was meant for an agent that has ended meanwhile."""

REASON_LENGTH = 200
"""Characters; the heartbeat must have room for it."""

PAUSE_FILE, DRAIN_FILE = Path("control/pause.json"), Path("control/drain.json")
"""In the agent's own folder."""

_LIMITS = JsonLimits(size_bytes=4096, depth=4, values=40)
"""Of an order: ten values, and more of a later version."""

logger = logging.getLogger("segrelay.control")


class _Order(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    at: Moment
    """When it was given; this computer's clock, as all times here."""


class Pause(_Order):
    """Claim nothing for now."""

    reason: Annotated[str, Field(max_length=REASON_LENGTH)] = ""
    until: Moment | None = None
    """When the agent goes on automatically; None where operators say so."""
    cause: OptionalNotice = None
    """Why the agent itself has paused; None where operators have."""

    def is_over(self, now: datetime) -> bool:
        """Whether its time has come."""
        return self.until is not None and now >= self.until

    def in_words(self) -> str:
        """Reason and end, for operators."""
        end = "" if self.until is None else f"until {self.until:%Y-%m-%d %H:%M %z}"
        return ", ".join(filter(None, (self.reason, end)))

    def notice(self) -> Notice | None:
        """The pause as a notice of the heartbeat; None without reason and end."""
        text = self.in_words()
        if not text:
            return None
        if self.cause is not None:
            return self.cause.model_copy(update={"text": text})
        # What operators wrote has no code that a reader knows.
        if self.reason or self.until is None:
            return notice("operator-reason", text=text)
        return notice("paused-until", text=text, until=self.until.isoformat(timespec="minutes"))


class Drain(_Order):
    """Claim nothing more, finish or hand back what is in hand, and end."""

    cancel: bool = False
    """Do not finish: hand back what is on the GPU, too."""


Order = TypeVar("Order", bound=_Order)


def pause(home: Path, order: Pause) -> None:
    """Let the agent pause, also the one that is started later.

    Raises
    ------
    LocalDiskError
        The disk refused.
    """
    _write(home / PAUSE_FILE, order)


def resume(home: Path) -> bool:
    """Take a pause back; whether there was one.

    Raises
    ------
    LocalDiskError
        The disk refused.
    """
    with disk_errors("The pause cannot be taken back"):
        try:
            retry_sharing_violation((home / PAUSE_FILE).unlink)
        except FileNotFoundError:
            return False
    return True


def standing_pause(home: Path) -> Pause | None:
    """The pause that holds now; None where none does, or where it cannot be read."""
    found = _read(home / PAUSE_FILE, Pause)
    return None if found is None or found.is_over(utc_now()) else found


def order_drain(home: Path, order: Drain) -> Path:
    """Order the agent that runs now to drain; returns the file that it takes away.

    Raises
    ------
    LocalDiskError
        The disk refused.
    """
    path = home / DRAIN_FILE
    _write(path, order)
    return path


class ControlWatch:
    """The thread that reads orders.

    Parameters
    ----------
    on_pause:
        Called with the pause or None whenever that changes.
    on_drain:
        Called with every order to drain.
    """

    def __init__(
        self,
        home: Path,
        *,
        on_pause: Callable[[Pause | None], None],
        on_drain: Callable[[Drain], None],
    ) -> None:
        self._home = home
        self._on_pause = on_pause
        self._on_drain = on_drain
        self._stop = threading.Event()
        self._pause: Pause | None = None
        self._unreadable: set[Path] = set()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Read once now, then regularly."""
        # Made by the agent's own account, which must be able to take files away.
        with contextlib.suppress(OSError):
            (self._home / PAUSE_FILE).parent.mkdir(parents=True, exist_ok=True)
        self._poll()
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread, if it was started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL_EVERY):
            # No more files can be opened: what was ordered before holds.
            with contextlib.suppress(LimitReachedError):
                self._poll()

    def _poll(self) -> None:
        found = self._read(self._home / PAUSE_FILE, Pause)
        if found is not None and found.is_over(utc_now()):
            found = None
        if found != self._pause:
            self._pause = found
            self._on_pause(found)
        order = self._take_drain()
        if order is not None:
            self._on_drain(order)

    def _take_drain(self) -> Drain | None:
        path = self._home / DRAIN_FILE
        order = self._read(path, Drain)
        if order is None:
            return None
        try:
            retry_sharing_violation(path.unlink)
        except FileNotFoundError:
            # Taken back in this moment.
            return None
        except OSError as error:
            log_event(
                logger,
                logging.WARNING,
                "control file not removed",
                file=path.name,
                why=describe(error),
            )
        return order if abs(utc_now() - order.at) < ORDER_LIFE else None

    def _read(self, path: Path, model: type[Order]) -> Order | None:
        order = _read(path, model)
        if order is None and _is_there(path):
            if path not in self._unreadable:
                log_event(logger, logging.WARNING, "control file not read", file=path.name)
            self._unreadable.add(path)
        else:
            self._unreadable.discard(path)
        return order


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # In a folder that another account made for itself.
        return True


def _write(path: Path, order: _Order) -> None:
    with disk_errors("The order cannot be written"):
        folders = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, order.model_dump_json(indent=1).encode(), private=True)
        _give_to_agent([path, *folders])


def _give_to_agent(made: Sequence[Path]) -> None:
    """Root's orders are for the account of the agent, whose folder they are in."""
    if os.name == "posix" and os.geteuid() == 0:
        owner = made[-1].parent.stat()
        for path in made:
            # The agent may have taken the order already.
            with contextlib.suppress(FileNotFoundError):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _read(path: Path, model: type[Order]) -> Order | None:
    try:
        # A pipe or a device in its place would not end.
        if path.is_file():
            with retry_sharing_violation(lambda: path.open("rb")) as file:
                return read_document(model, file.read(_LIMITS.size_bytes + 1), _LIMITS)
    except (OSError, UnreadableJsonError) as error:
        raise_if_limit(error)
    return None
