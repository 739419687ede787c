"""Standard output and error of a command, wherever they lead.

A reader that goes away (``| head``), a descriptor that was closed (``>&-``), a full disk and a
code page that lacks a character end no command in its middle: what it changes, it changes
completely. What could not be printed is said at the end, by one line and the exit code.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

from segrelay.errors import TransientError

EXIT_NOT_PRINTED = 75
"""``EX_TEMPFAIL`` of sysexits.h: run the command again, with another place for its output."""

_READER_LEFT = (errno.EPIPE, errno.ESHUTDOWN)
_WINDOWS_READER_LEFT = errno.EINVAL
"""What Windows says of a pipe whose other end is closed (https://bugs.python.org/issue35754)."""


class _Output(io.TextIOWrapper):
    """Standard output that remembers a refusal in place of raising it."""

    refusal: OSError | None = None

    def write(self, text: str, /) -> int:
        """Write, or drop what nobody takes any more."""
        if self.refusal is None:
            try:
                return super().write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.refusal = self.refusal or error
        # What is still in the buffers goes nowhere, or the interpreter fails over it at its end.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            super().flush()


def prepare_output() -> None:
    """Make the standard streams of this process such as the module says; at its very start.

    Closed descriptors 0 to 2 are opened on the null device: the next file that is opened would
    else get their number, and with it whatever a library prints. A character that the encoding of
    a stream lacks is printed as its code (``\\uXXXX``).
    """
    _fill_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for the process)
            setattr(sys, name, stream)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # A test that captures the output has a class of its own.
    if type(sys.stdout) is io.TextIOWrapper:
        _take_over(sys.stdout)


def has_reader() -> bool:
    """Return whether standard output still has a reader; for commands that follow something."""
    return getattr(sys.stdout, "refusal", None) is None


def finish_output(code: int) -> int:
    """Print what is left; returns the exit code of a process that wants to end with ``code``.

    That is ``code`` unless standard output refused what was to be printed: a command that has
    succeeded then ends with :data:`EXIT_NOT_PRINTED`. A reader that left had enough.
    """
    refusal = None
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
            refusal = getattr(sys.stdout, "refusal", None)
    except (OSError, ValueError) as error:
        refusal = error if isinstance(error, OSError) else None
        sys.stdout = None
    if refusal is not None and not _is_reader_gone(refusal):
        unprinted = TransientError(
            f"Standard output refused what was to be printed ({refusal.strerror}).",
            code="output-refused",
            remedy="Free space where it leads, or let it lead elsewhere.",
        )
        say_error(f"error: {unprinted.message} [{unprinted.code}]\nremedy: {unprinted.remedy}")
        code = code or EXIT_NOT_PRINTED
    _flush_error_output()
    return code


def say_error(text: str) -> None:
    """Print lines on standard error, if that takes them; the exit code says the same."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text + "\n")


def _fill_closed() -> None:
    if os.name != "posix":
        return
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, so this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _take_over(stream: io.TextIOWrapper) -> None:
    encoding, is_line = stream.encoding, stream.line_buffering
    is_through = stream.write_through
    taken = _Output(
        stream.detach(),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=is_line,
        write_through=is_through,
    )
    for name in ("stdout", "__stdout__"):
        setattr(sys, name, taken)


def _flush_error_output() -> None:
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        # Python would end with a code of its own.
        sys.stderr = None


def _is_reader_gone(error: OSError) -> bool:
    is_windows_pipe = os.name == "nt" and error.errno == _WINDOWS_READER_LEFT
    return error.errno in _READER_LEFT or is_windows_pipe
