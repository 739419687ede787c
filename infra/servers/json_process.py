"""A program that answers each line of JSON on its input with one."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from typing import Any

from infra.packages.debian import repository_root
from infra.servers.processes import stop_process


class JsonProcess:
    """Started in the repository; ``called``, e.g. "the line", names it in messages."""

    def __init__(self, called: str, command: Sequence[str]) -> None:
        self._called = called
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=repository_root(),
            start_new_session=True,
        )
        self.pid = self._process.pid

    def ask(self, request: object) -> Any:
        """Send one line and wait for the answer; raises as :meth:`receive`."""
        self.send(request)
        return self.receive()

    def send(self, request: object) -> None:
        """Send one line; its answer is received later."""
        if self._process.stdin is None:
            raise RuntimeError(f"{self._called} was started without pipes")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self) -> Any:
        """Wait for a line.

        Raises
        ------
        RuntimeError
            The process ended instead.
        """
        line = b"" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            stop_process(self._process)
            raise RuntimeError(f"{self._called} ended; its message is above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # What could not be written is tried again here.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        stop_process(self._process)
