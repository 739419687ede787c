"""What all tests share: one seed, no time limit when loaded, a clean log, and lines for the end."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from infra.packages.debian import ORTHANC_VARIABLE
from infra.servers.orthanc import OrthancServer
from lab_side.worker.light_monai import import_monai_lightly

SEED_VARIABLE = "SEGRELAY_TEST_SEED"
Tell = Callable[[str], None]
"""Called with a line, shows it at the end of the run, from whichever process."""

SEED = int(os.environ.get(SEED_VARIABLE, random.SystemRandom().randrange(2**31)))

ORTHANC_FIXTURES = {"orthanc", "fresh_orthanc", "start_orthanc", "fast_lab"}
"""A test with one of these talks to a real Orthanc, as does everything in the acceptance tests."""

_TOLD = "told"

# Not the settings of an agent that is installed on this machine, in this process and in all that
# it starts; the lookup itself is tested with the variable taken away.
os.environ["SEGRELAY_CONFIG"] = ""

# For PyTorch, here and in all that is started: the cores have a test each already, and threads
# that wait for one another keep them busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# As in the worker: half of the time that importing MONAI takes.
import_monai_lightly()

settings.register_profile("segrelay", deadline=None, print_blob=True, max_examples=60)
settings.register_profile("quick", settings.get_profile("segrelay"), max_examples=10)
settings.register_profile("long", settings.get_profile("segrelay"), max_examples=500)
settings.load_profile("segrelay")


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis use the seed as well, unless one was given on the command line."""
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = SEED


def pytest_report_header() -> list[str]:
    """How to run the same examples again, and with which Orthanc."""
    version = os.environ.get(ORTHANC_VARIABLE)
    orthanc = [f"Orthanc: {ORTHANC_VARIABLE}={version}"] if version else []
    return [f"seed: {SEED_VARIABLE}={SEED}", *orthanc]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what starts Orthanc (no unit test does), and what keeps a queue in the site's tables."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params.get("store") == "site":
        # For its threads as well.
        item.add_marker(pytest.mark.django_db(transaction=True))
    if "unit" in item.path.parts:
        return
    in_folder = "acceptance" in item.path.parts
    by_fixture = ORTHANC_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    by_hand = hasattr(getattr(item, "module", None), OrthancServer.__name__)
    if in_folder or by_fixture or by_hand:
        item.add_marker("orthanc")


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """For figures that a run must leave behind when it passes, too."""
    return lambda line: record_property(_TOLD, line.strip())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have told."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    told = [
        (report.nodeid, line)
        for report in reports
        if report.when == "call"
        for name, line in report.user_properties
        if name == _TOLD
    ]
    if told:
        terminalreporter.section("told by tests")
        for test, line in told:
            terminalreporter.write_line(f"{test.rpartition('::')[2]}: {line}")


@pytest.fixture(autouse=True)
def _same_log_for_every_test() -> Iterator[None]:
    """Programs that a test runs in this process set up their own log: undo it."""
    root, log = logging.getLogger(), logging.getLogger("segrelay")
    before = (root.handlers[:], log.level, logging.raiseExceptions)
    yield
    root.handlers[:], level, logging.raiseExceptions = before
    log.setLevel(level)
