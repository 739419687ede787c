"""The program that the service manager of Windows starts.

``python.exe -m lab_side.service.windows_host --config FILE --name NAME``. The interpreter is the
service's own process: pywin32's usual host, ``pythonservice.exe``, does not find the libraries of
a virtual environment.

A service that ends without having said that it stopped has crashed, and Windows starts it again
after a while; one that says so is left alone. So a wrong setting is reported as a stop, with the
exit code, and everything else that a new start may cure ends the process.
"""

from __future__ import annotations

import argparse
import logging
import os
import threading
from pathlib import Path
from typing import Any

import servicemanager
import win32service
from win32serviceutil import ServiceFramework

from lab_side.service.hosted import HostedAgent, Watchdog
from lab_side.service.scm import PRESHUTDOWN_S, display_name

REPORT_EVERY = 3.0
"""Seconds between two signs of life while the agent drains."""

HINT_MS = 30_000
"""How long Windows waits for the next sign before it calls the service hung."""

CANCEL_BEFORE_S = 30.0
"""Of the time that Windows gives before it shuts down: then the job on the GPU is handed back."""

LEFT_ALONE = (2, 78)
"""Exit codes of ``lab-agent`` that a new start does not cure."""

DEFECT = 70
"""That of a defect in the agent."""

_SPECIFIC = 1066
"""ERROR_SERVICE_SPECIFIC_ERROR: the reason is in the service's own code."""

_HANG = "The agent has hung and is started again. Its log shows what it did last."


class AgentService(ServiceFramework):  # type: ignore[misc]
    """The messages of Windows to the service, and of the service to Windows."""

    _svc_name_ = ""
    _svc_display_name_ = ""
    config = Path()
    """The settings' file."""

    def __init__(self, arguments: Any) -> None:
        super().__init__(arguments)
        self._watchdog = Watchdog(self._end_hung)
        self._agent = HostedAgent(self.config, self._watchdog, servicemanager.LogErrorMsg)
        self._ended = threading.Event()

    def GetAcceptedControls(self) -> int:  # noqa: N802 (pywin32's name)
        """Stop, and the early word of a shutdown, which leaves time to drain."""
        return int(win32service.SERVICE_ACCEPT_STOP | win32service.SERVICE_ACCEPT_PRESHUTDOWN)

    def SvcRun(self) -> None:  # noqa: N802
        """Called in the service's thread: run the agent, and report how it has ended."""
        self.ReportServiceStatus(win32service.SERVICE_RUNNING)
        code = self._run_agent()
        self._watchdog.close()
        self._ended.set()
        logging.shutdown()
        if code == 0:
            return
        if code in LEFT_ALONE:
            self.ReportServiceStatus(
                win32service.SERVICE_STOPPED, win32ExitCode=_SPECIFIC, svcExitCode=code
            )
        os._exit(code)

    def _run_agent(self) -> int:
        try:
            return self._agent.run()
        except Exception as error:
            # Not even its modules could be read.
            servicemanager.LogErrorMsg(f"The agent cannot start: {type(error).__name__}.")
            return DEFECT

    def SvcStop(self) -> None:  # noqa: N802
        """Drain the agent when Windows stops the service."""
        self._begin_to_stop()

    def SvcOtherEx(self, control: int, event_type: int, data: Any) -> None:  # noqa: ARG002, N802
        """The computer shuts down: drain, and hand back in time what is not finished by then."""
        if control == win32service.SERVICE_CONTROL_PRESHUTDOWN:
            late = threading.Timer(PRESHUTDOWN_S - CANCEL_BEFORE_S, self._agent.stop)
            late.daemon = True
            late.start()
            self._begin_to_stop()

    def SvcInterrogate(self) -> None:  # noqa: N802
        """Windows knows the state already: it was informed of each change."""

    def _begin_to_stop(self) -> None:
        self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING, waitHint=HINT_MS)
        self._agent.stop()
        threading.Thread(target=self._report, name="stop-report", daemon=True).start()

    def _report(self) -> None:
        while not self._ended.wait(REPORT_EVERY):
            self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING, waitHint=HINT_MS)

    def _end_hung(self) -> None:
        servicemanager.LogErrorMsg(_HANG)
        os._exit(DEFECT)


def main() -> None:
    """Be the service; returns when it has stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--name", required=True)
    options = parser.parse_args()
    AgentService.config = options.config
    AgentService._svc_name_ = options.name
    AgentService._svc_display_name_ = display_name(options.name)
    servicemanager.Initialize(options.name, os.path.abspath(servicemanager.__file__))
    servicemanager.PrepareToHostSingle(AgentService)
    servicemanager.StartServiceCtrlDispatcher()


if __name__ == "__main__":
    main()
