"""Actors that take turns: one thread each, and a baton that the history's seed passes on.

An actor runs until its next step (:meth:`Stage.pause`) while everything else stands still, so
the code under test runs unmodified and a history is the same every time its seed is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.buckets.faulty_bucket import SimulatedCrash

TURN_LIMIT = 60.0
"""Seconds for one step: the code under test waits for something that never comes."""


class Actor:
    """One thread of one simulated process."""

    def __init__(self, name: str, body: Callable[[], None], due: Callable[[], bool]) -> None:
        self.name = name
        self.body = body
        self.due = due
        self.go = _closed_gate()
        self.back = _closed_gate()
        """Its own: one that kills another within its step must not wake who waits for itself."""
        self.is_parked = False
        """Whether it waits for something to do: then it runs only when ``due``."""
        self.is_killed = False
        self.has_ended = False
        self.failure: BaseException | None = None

    @property
    def can_run(self) -> bool:
        """Whether a step of it would do anything."""
        return not self.has_ended and (not self.is_parked or self.due())


class Stage:
    """Who has the baton."""

    def __init__(self) -> None:
        self._actors: list[Actor] = []
        self.current: Actor | None = None
        self.story: list[str] = []
        """What happened, one line each."""

    def tell(self, text: str) -> None:
        """Add what the current actor does to the story."""
        self.story.append(f"{'' if self.current is None else self.current.name}: {text}")

    def add(self, name: str, body: Callable[[], None], due: Callable[[], bool]) -> Actor:
        """A new actor; it begins at its first step."""
        actor = Actor(name, body, due)
        self._actors.append(actor)
        threading.Thread(target=self._live, args=(actor,), name=name, daemon=True).start()
        return actor

    def step(self, actor: Actor) -> None:
        """Let an actor run to its next pause; raises what escaped from it, or that it hangs."""
        outer, self.current = self.current, actor
        actor.go.release()
        if not actor.back.acquire(timeout=TURN_LIMIT):
            actor.has_ended = True
            raise AssertionError(f"{actor.name} has not come back from its step")
        self.current = outer
        if actor.failure is not None:
            raise actor.failure

    def pause(self) -> None:
        """Pass the baton back; called by actors before whatever others can see.

        Raises
        ------
        SimulatedCrash
            The process has died meanwhile.
        """
        actor = self.current
        if actor is None:
            return
        if not actor.is_killed:
            actor.back.release()
            actor.go.acquire()
        if actor.is_killed:
            raise SimulatedCrash

    def park(self) -> None:
        """Pause until there is something to do."""
        actor = self.current
        if actor is None:
            raise RuntimeError("only an actor can wait")
        actor.is_parked = True
        self.pause()
        actor.is_parked = False

    def kill(self, actor: Actor) -> None:
        """Let an actor die where it stands: none of its operations happens any more."""
        actor.is_killed = True
        if not actor.has_ended and actor is not self.current:
            self.step(actor)

    def close(self) -> None:
        """End every thread."""
        for actor in self._actors:
            actor.failure = None
            self.kill(actor)

    def _live(self, actor: Actor) -> None:
        actor.go.acquire()
        try:
            if not actor.is_killed:
                actor.body()
        except SimulatedCrash:
            pass
        except BaseException as error:
            actor.failure = error
        finally:
            actor.has_ended = True
            actor.back.release()


def _closed_gate() -> threading.Lock:
    """``acquire`` waits for one ``release``, by whatever thread."""
    gate = threading.Lock()
    gate.acquire()
    return gate


class StagedLock:
    """A lock that waits by passing the baton on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._is_held = False

    def __enter__(self) -> None:
        while self._is_held:
            self._stage.pause()
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False


class StagedEvent(threading.Event):
    """An event whose waiting passes the baton on instead of the time."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def wait(self, timeout: float | None = None) -> bool:
        """One step of others, however long was asked for."""
        self._stage.pause()
        return self.is_set()
