"""One history: some minutes of a lab and a site in bad weather, then the settling.

A history is made by its seed alone: the same seed, number and store give the same steps.
"""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from lab_side.settings.config import PACKAGED_PROFILES
from segrelay import names
from segrelay.errors import ObjectExistsError, StoreUnavailableError
from segrelay.manifest import JobManifest, ResultStatus, parse_result
from segrelay.names import SITE, JobName, parse_job_name
from segrelay.profiles import Profile, load_profile
from segrelay.queue.lease import LEASE
from tests.support.jobs import make_manifest
from tests.support.simulator.agent import POLL, AgentProcess, Machine, World
from tests.support.simulator.clock import START, Clock
from tests.support.simulator.orthanc import MemoryOrthanc, uid_of
from tests.support.simulator.site import Site
from tests.support.simulator.stage import Actor, Stage
from tests.support.simulator.stores import MakeStore, Surroundings
from tests.support.simulator.watch import Owner, Watch
from tests.support.simulator.weather import Weather
from tests.support.simulator.work import Fate

STEPS = (60, 260)
"""Steps of a history's bad weather, fewest and most; twice as many where a call has two."""

JUMPS = (5.0, 20.0, 45.0, 60.0, 130.0, 300.0)
"""Seconds."""

MOST_ROUNDS = 80
"""Of settling; the longest pause of the queue ends long before."""

MOST_STEPS = 5000
"""For the processes to come to rest at one moment of the clock."""

_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


@lru_cache(maxsize=1)
def _profiles() -> Mapping[str, Profile]:
    demo = load_profile(PACKAGED_PROFILES / "demo")
    return {"demo": demo, "other": demo.model_copy(update={"name": "other"})}


class History:
    """A seeded story; :meth:`run` raises Violation when it breaks a promise."""

    def __init__(self, seed: str, folder: Path, make_store: MakeStore) -> None:
        self._chance = random.Random(seed)
        self._folder = folder
        self.clock = Clock()
        self._stage = Stage()
        rate = self._chance.choice((0.0, 0.02, 0.06, 0.15))
        self._weather = Weather(self._chance, rate)
        self._orthanc = MemoryOrthanc(self._stage, self._weather)
        self._watch = Watch(self.clock, self._orthanc, self._actor_of_this_step)
        self._orthanc.deleted = self._watch.instance_deleted
        self._make_store = make_store
        self._fates: dict[str, Fate] = {}
        self._world = self._make_world()
        self._jobs = self._make_jobs()
        self.machines = self._make_machines()
        self._number = 0
        self._site = self._make_site()

    @property
    def story(self) -> str:
        """What happened, one line each."""
        return "\n".join(self._stage.story)

    def run(self) -> None:
        """Live through it and judge.

        Raises
        ------
        Violation
            A promise was broken.
        """
        with _quiet():
            try:
                steps = self._chance.randint(*STEPS) * self._world.store.steps_of_a_call
                for _ in range(steps):
                    self._happen()
                    self._watch.check()
                self._clear_up()
                self._judge_the_dead()
                self._settle()
                self._judge_the_end()
                self._watch.check()
            finally:
                self._stage.close()
                shutil.rmtree(self._folder, ignore_errors=True)

    def _make_world(self) -> World:
        store = self._make_store(
            Surroundings(
                folder=self._folder,
                clock=self.clock,
                moved=self._watch.moved,
                pause=self._stage.pause,
                weather=self._weather,
            )
        )
        self._watch.store = store
        return World(
            stage=self._stage,
            clock=self.clock,
            store=store,
            orthanc=self._orthanc,
            watch=self._watch,
            weather=self._weather,
            work_weather=Weather(self._chance, 0.5),
            fates=self._fates,
        )

    def _make_jobs(self) -> list[JobManifest]:
        fates = list(Fate) + [Fate.GOOD] * 6 + [Fate.FLAKY] * 3
        jobs = []
        for _ in range(self._chance.randint(1, 4)):
            job_id = "0" + "".join(self._chance.choices(_BASE32, k=25))
            self._fates[job_id] = self._chance.choice(fates)
            job = make_manifest(
                job_id,
                profile=self._chance.choice(("demo", "demo", "demo", "other")),
                priority=self._chance.choice((1, 5)),
                max_attempts=self._chance.choice((1, 2, 3)),
                submitted_at=START,
            )
            if self._fates[job_id] is Fate.UNFIT:
                job = job.model_copy(update={"series": job.series[:2]})
            jobs.append(job)
        return jobs

    def _make_machines(self) -> list[Machine]:
        demo, both = {"demo": _profiles()["demo"]}, _profiles()
        machines = [self._machine("lab-1", "host-1", both)]
        machines.append(self._machine("lab-2", "host-2", self._chance.choice((demo, both))))
        if self._chance.random() < 0.5:
            # A cloned configuration: the same agent id on another computer.
            machines.append(self._machine("lab-1", "host-3", both))
        return machines

    def _machine(self, agent: str, host: str, profiles: Mapping[str, Profile]) -> Machine:
        home = self._folder / host
        home.mkdir(parents=True)
        return Machine(
            agent=agent,
            host=host,
            home=home,
            profiles=profiles,
            skew=self._chance.choice((-600.0, 0.0, 600.0)),
        )

    def _make_site(self) -> Site:
        cancels = [job.job_id for job in self._jobs if self._chance.random() < 0.25]
        return Site(self._world, self._chance, self._jobs, cancels)

    def _actor_of_this_step(self) -> Owner | None:
        actor = self._stage.current
        if actor is None:
            return None
        for machine in self.machines:
            for process in machine.processes:
                if process.owns(actor):
                    return process
        return self._site

    def _happen(self) -> None:
        """One step of somebody, or one event."""
        self.clock.advance(self._chance.random() * 2)
        if self._chance.random() < 0.85 and self._step():
            return
        events = (
            (self._start, 4),
            (self._crash, 2),
            (self._sleep, 1),
            (self._wake, 3),
            (self._drain, 1),
            (self._jump, 3),
            (self._crash_site, 1),
            (self._toggle_orthanc, 1),
            (self._deliver_late, 2),
        )
        weights = [weight for _, weight in events]
        self._chance.choices([event for event, _ in events], weights)[0]()

    def _step(self) -> bool:
        actors = self._runnable()
        if not actors:
            return False
        self._step_of(self._chance.choice(actors))
        return True

    def _step_of(self, actor: Actor) -> None:
        self._stage.step(actor)

    def _runnable(self) -> list[Actor]:
        found = list(self._site.actors)
        for process in self._living():
            found += process.actors
        return found

    def _living(self) -> list[AgentProcess]:
        return [process for machine in self.machines for process in machine.living]

    def _start(self) -> None:
        machine = self._chance.choice(self.machines)
        if not machine.living or self._chance.random() < 0.15:
            self._start_on(machine)

    def _start_on(self, machine: Machine) -> None:
        self._number += 1
        process = AgentProcess(self._world, machine, self._number)
        machine.processes.append(process)
        self._tell(process.note("starts"))

    def _crash(self) -> None:
        if living := self._living():
            self._crash_one(self._chance.choice(living))

    def _crash_one(self, process: AgentProcess) -> None:
        self._tell(process.note("crashes"))
        process.crash()

    def _sleep(self) -> None:
        if living := self._living():
            process = self._chance.choice(living)
            process.is_asleep = True
            self._tell(process.note("falls asleep"))

    def _wake(self) -> None:
        for process in self._living():
            if process.is_asleep:
                process.is_asleep = False
                self._tell(process.note("wakes"))
                return

    def _drain(self) -> None:
        if living := self._living():
            process = self._chance.choice(living)
            process.is_draining = True
            self._tell(process.note("drains"))

    def _jump(self) -> None:
        self.clock.advance(self._chance.choice(JUMPS))
        self._tell("time passes")

    def _crash_site(self) -> None:
        self._tell("the site crashes")
        self._site.crash()

    def _toggle_orthanc(self) -> None:
        self._orthanc.is_away = not self._orthanc.is_away
        self._tell(f"Orthanc is {'away' if self._orthanc.is_away else 'back'}")

    def _deliver_late(self) -> None:
        """The network delivers a submit once more, after the first was answered."""
        job = self._chance.choice(self._jobs)
        if job.job_id not in self._watch.published:
            return
        name = JobName(
            priority=job.priority, job_id=job.job_id, profile=job.profile, fence=0
        ).pending
        self._tell(f"{name} arrives again")
        with contextlib.suppress(ObjectExistsError, StoreUnavailableError):
            self._world.store.open(SITE).create(name, job.to_json())

    def _tell(self, text: str) -> None:
        self._stage.tell(f"{self.clock.seconds:.1f} s: {text}")

    def _clear_up(self) -> None:
        """The weather clears; some processes die, the others wake."""
        self._tell("the weather clears")
        self._weather.rate = 0.0
        self._world.work_weather.rate = 0.0
        self._orthanc.is_away = False
        for process in self._living():
            process.is_asleep = False
            if self._chance.random() < 0.5:
                self._crash_one(process)

    def _judge_the_dead(self) -> None:
        """I5: whoever lives brings back what the dead held, within lease + one poll."""
        self._site.is_syncing = not self._living() or self._chance.random() < 0.5
        living = {process.agent for process in self._living()}
        dead = {machine.agent for machine in self.machines} - living
        held = [name for name in self._claims() if name.split("/")[3] in dead]
        end = self.clock.seconds + LEASE.total_seconds() + POLL
        while self.clock.seconds <= end:
            self._rest()
            self.clock.advance(5.0)
        self._rest()
        if not (self._living() or self._site.is_syncing):
            return
        for name in held:
            self._judge_claim_of_the_dead(name)

    def _judge_claim_of_the_dead(self, name: str) -> None:
        job = parse_job_name(name.rpartition("/")[2])
        if job is None:
            raise RuntimeError(f"{name} is no claim")
        if name in self._claims():
            self._watch.fail("I5", f"{name} has not come back")
        attempt = names.attempt_object(job.job_id, job.fence)
        if not (
            self._watch.document(attempt) or self._watch.document(names.result_object(job.job_id))
        ):
            self._watch.fail("I5", f"{name} came back without a record")
        self._watch.check()

    def _claims(self) -> list[str]:
        return self._world.store.names(names.CLAIMED)

    def _rest(self) -> None:
        """Let everybody who has something to do at this moment do it."""
        for _ in range(MOST_STEPS):
            if not self._step():
                return
            self._watch.check()
        raise RuntimeError("the processes never came to rest")

    def _settle(self) -> None:
        """Every machine runs again, the site too, until nothing is left to do."""
        self._tell("everybody is back")
        self._site.is_syncing = True
        for _ in range(MOST_ROUNDS):
            for machine in self._unmanned():
                self._start_on(machine)
            self._rest()
            if self._is_settled():
                return
            self.clock.advance(self._chance.choice((15.0, 40.0, 90.0)))
        self._watch.fail("I1", f"not settled: {self._world.store.names(names.JOBS)}")

    def _unmanned(self) -> list[Machine]:
        """Machines to start: one for each agent id that nobody uses, a full outbox first."""
        used = {process.agent for process in self._living()}
        free = [machine for machine in self.machines if machine.agent not in used]
        self._chance.shuffle(free)
        free.sort(key=self._has_waiting_segs)
        return list({machine.agent: machine for machine in free}.values())

    def _has_waiting_segs(self, machine: Machine) -> bool:
        return any((machine.home / "outbox").glob("*/draft.json"))

    def _is_settled(self) -> bool:
        """Whether nothing is left to do; makes room for a clone whose outbox is full."""
        if self._world.store.names(names.PENDING) or self._claims() or not self._site.is_done:
            return False
        waiting = [machine for machine in self.machines if self._has_waiting_segs(machine)]
        for machine in waiting:
            for process in self._living():
                process.is_draining |= process.agent == machine.agent and not machine.living
        return not waiting

    def _judge_the_end(self) -> None:
        for job in self._jobs:
            self._judge_job(job)
        self._watch.check()

    def _judge_job(self, job: JobManifest) -> None:
        places = self._watch.places(job.job_id)
        if len(places) != 1:
            self._watch.fail("I1", f"in the end {job.job_id} is in {places}")
            return
        if self._world.store.peek(places[0]) != job.to_json():
            self._watch.fail("I1", f"{places[0]} is not what was submitted")
        data = self._world.store.peek(names.result_object(job.job_id))
        if data is None:
            if not places[0].startswith(names.REJECTED):
                self._watch.fail("I3", f"{places[0]} has no result")
            return
        result = parse_result(data)
        stored = self._orthanc.peek(uid_of(job.job_id))
        if (result.status is ResultStatus.SUCCEEDED) is not (stored is not None):
            self._watch.fail("I3", f"{job.job_id} {result.status.value}; SEG stored: {stored!r}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the agents log would fill the memory."""
    logger = logging.getLogger("segrelay")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
