"""No value of a data set reaches a log or a stream through a library's messages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

SECRET = "Zebrafinch"

START = """
import io, logging, sys, threading, warnings
from segrelay.dicom.library_messages import withhold_values
{before}
withhold_values()
withhold_values()
import pydicom
from pydicom.dataset import Dataset
from pydicom.misc import warn_and_log
{after}
"""

WARN = "warnings.simplefilter('always')\nDataset().StudyDate = 'Zebrafinch'"

SAID = {
    "a warning of a value": ("", WARN),
    "its log record": ("", "warn_and_log('Zebrafinch')"),
    "warnings that become log records": (
        "logging.basicConfig()\nlogging.captureWarnings(True)",
        WARN,
    ),
    "warnings that become log records later": (
        "logging.basicConfig()",
        f"logging.captureWarnings(True)\n{WARN}",
    ),
    "a handler of one's own": (
        "logging.basicConfig(level=1, format='%(message)s %(args)s')",
        "pydicom.config.debug(True)\nlogging.getLogger('pydicom').error('%s', 'Zebrafinch')",
    ),
    "a factory that is set before": (
        "logging.setLogRecordFactory(type('R', (logging.LogRecord,), {}))",
        "logging.getLogger('highdicom.base').warning('Zebrafinch')",
    ),
    "an exception that is logged": (
        "logging.basicConfig()",
        "try:\n    pydicom.dcmread(io.BytesIO(), defer_size='Zebrafinch')\n"
        "except Exception:\n    logging.getLogger('django.request').exception('a request failed')",
    ),
    "an exception that nobody catches": ("", "pydicom.valuerep.DSdecimal('Zebrafinch')"),
    "an exception of a thread": (
        "",
        "t = threading.Thread(target=pydicom.valuerep.DSfloat, args=('Zebrafinch',))\n"
        "t.start(); t.join()",
    ),
    "an exception behind another": (
        "",
        "try:\n    pydicom.valuerep.DSfloat('Zebrafinch')\n"
        "except ValueError as error:\n    raise RuntimeError('unreadable') from error",
    ),
}


def run(before: str, after: str) -> str:
    code = START.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", SAID)
@pytest.mark.process
def test_what_a_library_says_has_a_kind_and_a_place_alone(name: str) -> None:
    said = run(*SAID[name])
    assert SECRET not in said
    assert "is withheld" in said or " < " in said, "something is said"


@pytest.mark.process
def test_what_others_say_stays_as_it_is() -> None:
    said = run(
        "logging.basicConfig()",
        "logging.getLogger('my.project').warning('Quagga %s', 1)\n"
        "warnings.warn('Okapi')\nraise ValueError('Tapir')",
    )
    for word in ("Quagga 1", "Okapi", "ValueError: Tapir"):
        assert word in said
