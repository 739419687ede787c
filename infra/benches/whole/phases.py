"""What is measured: a cold start, one job of each system in rounds, several at once, the page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from infra.benches.harness import Report
from infra.benches.report import step
from infra.benches.rounds import interleaved
from infra.benches.whole.click import click_to_mask
from infra.benches.whole.measure import Sample, cloud_of, figures, measured
from infra.benches.whole.scene import WholeScene
from infra.benches.whole.systems import (
    BUCKET,
    DIRECTORY,
    MONAILABEL,
    MOSEC,
    RELAYS,
    SEED,
    SITE,
    SYSTEMS,
    WAN10,
    WAN30,
)
from segrelay.errors import SegRelayError

REPEATED = (DIRECTORY, MOSEC)
"""Run in every round; the others in the first one only, so that a run of all ends in minutes."""

STARTS = ((BUCKET,), (SITE, WAN10, WAN30), (MOSEC,), (MONAILABEL,), (SEED,))
"""Chains of systems that are started side by side; those at the site share it."""

AT_ONCE = 2
"""More would start no sooner on two cores, and might not be ready in time."""

LEFT_OUT = "left out by --no-peers"


def start(scene: WholeScene) -> Report:
    """Seconds from a cold agent's start to its readiness; nothing else is being started."""
    relay = scene.systems.relay(DIRECTORY)
    return {"start_to_ready_s": round(relay.start_s, 2)}


def one_job(scene: WholeScene) -> Report:
    """One job of each, in a new order each round."""
    there, left_out = _started(scene)
    first = dict.fromkeys(there, True)
    rounds = scene.plan.rounds

    def measure(name: str) -> Sample | None:
        if name not in REPEATED and not first[name]:
            return None
        first[name] = False
        system = scene.systems.get(name)
        with step(name):
            sample = measured(system, scene.orthanc.pid, system.job)
        scene.check_and_remove(name)
        return sample

    found = interleaved(there, rounds, scene.plan.rng("one job"), measure)
    rows = {name: figures([one for one in samples if one]) for name, samples in found.items()}
    ordered = {name: rows[name] for name in SYSTEMS if name in rows}
    return {**_ratios(ordered), "one_job": ordered, "left_out": left_out}


def _started(scene: WholeScene) -> tuple[list[str], dict[str, str]]:
    """Start everybody; who is ready, and why the others are not."""
    wanted = (*RELAYS, *scene.plan.peers)
    left_out = {name: LEFT_OUT for name in SYSTEMS if name not in wanted}

    def start_chain(names: tuple[str, ...]) -> None:
        for name in (one for one in names if one in wanted):
            try:
                scene.systems.get(name)
            except SegRelayError as error:
                if name in RELAYS:
                    raise
                left_out[name] = f"{error.message} {error.remedy}"

    scene.systems.get(DIRECTORY)
    with step("start of the others"), ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(start_chain, STARTS))
    return [name for name in SYSTEMS if name not in left_out], left_out


def _ratios(rows: dict[str, Report]) -> Report:
    """The headline figures; None where a system was left out."""
    ours = rows[DIRECTORY]
    found: Report = {
        f"job_vs_{name}": _times(rows.get(name), ours) for name in (MOSEC, SEED, MONAILABEL)
    }
    theirs = rows.get(MOSEC)
    for key, column in (("cloud_cpu", "cpu_s"), ("cloud_memory", "peak_mib")):
        for suffix, is_counted in (("", True), ("_without_orthanc", False)):
            share = None
            if theirs is not None:
                both = (cloud_of(row, column, with_orthanc=is_counted) for row in (ours, theirs))
                mine, others = both
                share = round(mine / others, 4)
            found[f"{key}_vs_mosec{suffix}"] = share
    return found


def _times(slow: Report | None, fast: Report) -> float | None:
    return None if slow is None else round(float(slow["seconds"]) / float(fast["seconds"]), 2)


def several_jobs(scene: WholeScene) -> Report:
    """So many jobs at once as the plan says: Mosec, and ours over a directory."""
    count = scene.plan.jobs
    names = [DIRECTORY, *(name for name in (MOSEC,) if name in scene.plan.peers)]
    rows = {}
    for name in scene.plan.rng("several").sample(names, len(names)):
        system = scene.systems.get(name)
        with step(f"{count} jobs, {name}"):
            sample = measured(system, scene.orthanc.pid, partial(system.jobs, count))
        scene.check_and_remove(name, count)
        rows[name] = figures([sample])
    return {
        "eight_jobs_vs_mosec": _times(rows.get(MOSEC), rows[DIRECTORY]),
        "several_jobs": rows,
    }


def page(scene: WholeScene) -> Report:
    """From the click to the mask in the page, over a directory."""
    return click_to_mask(scene, scene.systems.relay(DIRECTORY))
