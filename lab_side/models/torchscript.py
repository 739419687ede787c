"""TorchScript: a weights file that is a program.

It runs in PyTorch's own interpreter, which knows tensors and nothing of Python; but two of
its operators write and read files, and extensions bring more. A program that names any of
them is refused before it is loaded, for loading may already run a part of it.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import torch

from common.errors import FixConfigurationError
from lab_side.models.weights import is_torchscript, read_file, unreadable

_FORBIDDEN = re.compile(
    rb"\b(?:save|from_file)\b"  # operators that touch files, however they are reached
    rb"|\bops\s*\.\s*(?!prim\b|aten\b)"  # operators of extensions
    rb"|\btorch\s*\.\s*classes\b"  # objects of extensions
    rb"|\bgetattr\s*\([^)]*\\"  # a name in disguise
)
_FORBIDDEN_OBJECTS = b"torch.classes"


def read_program(path: Path, *, sha256: str | None) -> tuple[torch.jit.ScriptModule, str]:
    """Read a TorchScript file.

    Parameters
    ----------
    sha256:
        Expected SHA-256 of the file's bytes: a program is run only where somebody wrote down
        which one is meant.

    Returns
    -------
    The program on the CPU, in evaluation mode; and the file's SHA-256.

    Raises
    ------
    FixConfigurationError
        ``weights-missing``, ``weights-sha256``, ``weights-unpinned``, ``weights-unsafe``,
        ``weights-unreadable`` or ``weights-do-not-fit`` (no TorchScript).
    """
    data, found = read_file(path, sha256=sha256)
    if sha256 is None:
        raise FixConfigurationError(
            f"The TorchScript file {path} is a program, and its SHA-256 is not configured.",
            code="weights-unpinned",
            remedy=f"If, and only if, you trust where it comes from, write sha256 = {found}.",
        )
    if not is_torchscript(data):
        raise FixConfigurationError(
            f"The file {path} is no TorchScript.",
            code="weights-do-not-fit",
            remedy="Name the network's architecture in profile.json, or export it with "
            "torch.jit.save.",
        )
    _check_program(data, path)
    try:
        with warnings.catch_warnings():
            # PyTorch announces the format's end; files in it are still about.
            warnings.simplefilter("ignore", DeprecationWarning)
            program = torch.jit.load(BytesIO(data), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise unreadable(path) from error
    return program.eval(), found


def _check_program(data: bytes, path: Path) -> None:
    try:
        for name, content in _members(data):
            if name.endswith(".py") and _FORBIDDEN.search(content):
                raise _unsafe(path)
            if name.endswith(".pkl") and _FORBIDDEN_OBJECTS in content:
                raise _unsafe(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
        raise unreadable(path) from error


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of the code and of the objects' table, without the tensors."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.filename.endswith((".py", ".pkl")):
                yield member.filename, archive.read(member)


def _unsafe(path: Path) -> FixConfigurationError:
    return FixConfigurationError(
        f"The TorchScript file {path} uses files or extensions: it is not run.",
        code="weights-unsafe",
        remedy="Export the network alone, without what its training program saves or loads.",
    )
