"""How the doctor ends: one verdict and the next step; colours on a terminal alone."""

from __future__ import annotations

import io
import sys

import pytest

from lab_side.commands.doctor import Report, conclude
from lab_side.doctor.finding import Finding, Verdict

RUN = Finding(check="run of demo", verdict=Verdict.OK, detail="2.0 s")
SETTINGS = Finding(check="configuration", verdict=Verdict.OK, detail="agent lab-1")
WAY = Finding(check="way", verdict=Verdict.WARNING, detail="plain http", remedy="Use https.")
AWAY = Finding(
    check="Orthanc answers", verdict=Verdict.FAILED, detail="no answer", remedy="Start it."
)
DISK = Finding(check="disk", verdict=Verdict.FAILED, detail="full", remedy="Free space.")
CLOCK = Finding(check="clock", verdict=Verdict.NOT_KNOWN, detail="tells no time")


@pytest.mark.parametrize(
    ("findings", "worst", "said", "follow"),
    [
        ([SETTINGS, RUN], Verdict.OK, "All is well: 2 checks.", "lab-agent segment"),
        ([SETTINGS], Verdict.OK, "1 check; no network was run.", "lab-agent segment"),
        ([SETTINGS, CLOCK], Verdict.OK, "2 checks, 1 without an answer", "lab-agent run"),
        ([SETTINGS, WAY], Verdict.WARNING, "no failure, 1 warning in 2", "Read the warnings."),
        ([SETTINGS, WAY, AWAY], Verdict.FAILED, "1 failure, 1 warning in 3", "Start it. Then run"),
        ([AWAY, DISK], Verdict.FAILED, "2 failures", "Begin with the first, Orthanc answers:"),
        ([CLOCK], Verdict.OK, "All is well", "lab-agent setup"),
    ],
)
def test_one_verdict_and_the_next_step(
    findings: list[Finding], worst: Verdict, said: str, follow: str
) -> None:
    found, conclusion, next_step = conclude(findings)
    assert found is worst
    assert said in conclusion
    assert follow in next_step


class Screen(io.StringIO):
    """Standard output that is, or is not, a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "variables", "is_coloured"),
    [
        (True, {"TERM": "xterm-256color"}, True),
        (True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm-256color"}, False),
    ],
)
def test_colours_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
    variables: dict[str, str],
    is_coloured: bool,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    screen = Screen(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    report = Report(as_json=False)
    report.add(AWAY)
    assert report.end() == 78
    assert ("\x1b[" in screen.getvalue()) is is_coloured
    assert "FAILED" in screen.getvalue()
    assert "Orthanc answers: no answer" in screen.getvalue()
