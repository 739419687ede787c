"""A computer on which nothing of the agent's is set."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from keyring.backends import null

from lab_side.settings.secrets import EVERY_SECRET
from lab_side.settings.sources import VARIABLES
from tests.support.command_line import Cli
from tests.support.lab.keyrings import keyring_replaced


@contextmanager
def bare_computer(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process find no setting, secret or keyring, and write below ``home``."""
    for variable in [*VARIABLES, "SEGRELAY_PROFILES", "CREDENTIALS_DIRECTORY"]:
        monkeypatch.delenv(variable, raising=False)
    for places in EVERY_SECRET:
        monkeypatch.delenv(places.variable, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SEGRELAY_WORK_DIR", str(home / "work"))
    with keyring_replaced(null.Keyring()):  # type: ignore[no-untyped-call]
        yield


@pytest.fixture(autouse=True)
def on_a_bare_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test of a file that imports this."""
    with bare_computer(tmp_path, monkeypatch):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the configuration is to be."""
    return tmp_path / "etc" / "agent.toml"


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The commands of the lab, with nothing on standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    return Cli(capsys)
