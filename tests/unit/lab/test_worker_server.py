"""What the worker answers when something breaks: the error's class decides what it costs."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab_side.worker.protocol import Call, InspectRequest, LoadReply, LoadRequest, error_from_line
from lab_side.worker.server import WorkerServer
from segrelay.errors import AttemptFailedError, FixConfigurationError, LocalDiskError, SegRelayError

CALL = Call(
    id=1,
    request=LoadRequest(folder=Path("/p"), weights=None, sha256=None, device="cpu"),
)


class Broken(WorkerServer):
    """Raises what the test says."""

    def __init__(self, output: io.StringIO, error: BaseException) -> None:
        super().__init__(output)
        self._error = error

    def _load(self, request: LoadRequest) -> LoadReply:
        raise self._error


def answer_to(error: BaseException) -> SegRelayError:
    output = io.StringIO()
    Broken(output, error).serve(CALL)
    line: dict[str, Any] = json.loads(output.getvalue())
    return error_from_line(line)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_fails_no_attempt(code: int) -> None:
    error = answer_to(OSError(code, os.strerror(code), "/secret/name"))
    assert type(error) is LocalDiskError
    assert error.remedy.startswith("Free space on ")
    assert "secret" not in error.message


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_a_failing_disk_fails_no_attempt(code: int) -> None:
    error = answer_to(OSError(code, os.strerror(code)))
    assert type(error) is LocalDiskError
    assert error.remedy.startswith("Check the disk ")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: FileNotFoundError(errno.ENOENT, "gone"), "worker-error"),
        (lambda: ValueError("a bug"), "worker-error"),
        (lambda: MemoryError(), "out-of-memory"),
        (lambda: RuntimeError("CUDA out of memory"), "out-of-memory"),
        (lambda: RuntimeError("CUDA error: an illegal memory access"), "gpu-error"),
        (lambda: RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "gpu-error"),
    ],
)
def test_anything_else_is_a_failed_attempt(make: Callable[[], Exception], code: str) -> None:
    error = answer_to(make())
    assert (type(error), error.code) == (AttemptFailedError, code)


def test_a_file_that_is_not_there_is_not_the_disks_fault(tmp_path: Path) -> None:
    output = io.StringIO()
    call = Call(id=2, request=InspectRequest(path=tmp_path / "gone.dcm"))
    WorkerServer(output).serve(call)
    assert json.loads(output.getvalue())["code"] == "worker-error"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch, which"),
        (ModuleNotFoundError("No module named 'x'", name="monai.networks"), "monai, which"),
        (ImportError("cannot import name 'a' from 'numpy' (/home/kim)", name="numpy"), "be loaded"),
    ],
)
def test_a_package_that_is_missing_is_a_matter_of_the_installation(
    error: ImportError, words: str
) -> None:
    said = answer_to(error)
    assert type(said) is FixConfigurationError
    assert words in said.message
    assert "kim" not in said.message
    assert "[lab]" in said.remedy


def test_a_missing_module_of_our_own_is_a_defect() -> None:
    error = answer_to(ModuleNotFoundError("No module named 'lab_side.x'", name="lab_side.x"))
    assert (type(error), error.code) == (AttemptFailedError, "worker-error")
