"""TorchScript: a weights file that is a program.

It runs in PyTorch's own interpreter, which knows tensors and nothing of Python; but two of
its operators write and read files, and extensions bring more. A program that names any of
them is refused before it is loaded, for loading may already run a part of it.
"""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import torch

from lab_side.models.archive import contents
from lab_side.models.weights import archive_members, is_torchscript, read_file, unreadable
from segrelay.errors import FixConfigurationError

_FORBIDDEN = re.compile(
    rb"\b(?:save|from_file)\b"  # operators that touch files, however they are reached
    rb"|\bops\s*\.\s*(?!prim\b|aten\b)"  # operators of extensions
    rb"|\btorch\s*\.\s*classes\b"  # objects of extensions
    rb"|\bgetattr\s*\([^)]*\\"  # a name in disguise
)
_FORBIDDEN_OBJECTS = re.compile(rb"torch\W+classes")
"""In a table of objects, module and name are in two lines."""

_TENSORS = ("data/", "constants/")


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
    # The code and the tables of objects, without the tensors.
    members = [one for one in archive_members(data, path) if not one.name.startswith(_TENSORS)]
    try:
        for name, content in contents(data, members):
            if name.endswith(".py") and _FORBIDDEN.search(content):
                raise _unsafe(path)
            if not name.endswith(".py") and _FORBIDDEN_OBJECTS.search(content):
                raise _unsafe(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error) as error:
        raise unreadable(path) from error


def _unsafe(path: Path) -> FixConfigurationError:
    return FixConfigurationError(
        f"The TorchScript file {path} uses files or extensions: it is not run.",
        code="weights-unsafe",
        remedy="Export the network alone, without what its training program saves or loads.",
    )
