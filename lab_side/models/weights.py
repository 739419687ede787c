"""Reading a checkpoint without running code from it.

Two formats: safetensors, and PyTorch's own with ``weights_only=True``, which builds tensors
and plain containers only. A pickled object of any other class is refused. TorchScript, which
is a program, has a module of its own.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from common.errors import FixConfigurationError

StateDict = dict[str, torch.Tensor]

WRAPPERS = (
    "model_state_dict",
    "state_dict",
    "model",
    "network_weights",
    "ema_state_dict",
    "net",
)
"""Keys under which training programs keep the weights; the first one present is taken."""

# Training loops store their best metric as a numpy number. Rebuilding one runs no code
# beyond these; both names of the function, of numpy 1 and of numpy 2, occur in files.
_NUMPY_SCALAR: Any = np.float64(0.0).__reduce__()[0]
_NUMBERS: list[Any] = [
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
]


def read_checkpoint(path: Path, *, sha256: str | None) -> tuple[StateDict, str]:
    """Read the tensors of a checkpoint.

    Parameters
    ----------
    path:
        ``.safetensors``, or anything that ``torch.save`` wrote.
    sha256:
        Expected SHA-256 of the file's bytes, in hexadecimal; None: not checked.

    Returns
    -------
    Parameter name, as the file has it, to tensor on the CPU; and the file's SHA-256.

    Raises
    ------
    FixConfigurationError
        ``weights-missing``, ``weights-sha256``, ``weights-unsafe``, ``weights-unreadable``
        or ``weights-do-not-fit`` (the file holds no weights).
    """
    data, found = read_file(path, sha256=sha256)
    # The bytes that were hashed are the bytes that are parsed: the file is not read twice.
    return parse_checkpoint(data, path)[0], found


def parse_checkpoint(data: bytes, path: Path) -> tuple[StateDict, Any]:
    """The tensors in a checkpoint's bytes, and all that was read (None for safetensors).

    Raises
    ------
    FixConfigurationError
        As ``read_checkpoint``.
    """
    if is_safetensors(data, path):
        return _from_safetensors(data, path), None
    if is_torchscript(data):
        raise FixConfigurationError(
            f"The weights file {path} is a TorchScript program, not a checkpoint.",
            code="weights-do-not-fit",
            remedy="Write TorchScript as network.architecture in profile.json, or use the "
            "checkpoint that it was exported from.",
        )
    checkpoint = _from_torch(data, path)
    return unwrap(checkpoint, path), checkpoint


def read_file(path: Path, *, sha256: str | None) -> tuple[bytes, str]:
    """A file's bytes and their SHA-256, which is the expected one where one is given.

    Raises
    ------
    FixConfigurationError
        ``weights-missing`` or ``weights-sha256``.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FixConfigurationError(
            f"The weights file {path} cannot be read ({error.strerror}).",
            code="weights-missing",
            remedy="Put the weights there, or correct the path.",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise FixConfigurationError(
            f"The weights file {path} has SHA-256 {found}, not the expected {sha256}.",
            code="weights-sha256",
            remedy="Copy the right file again, or write the new SHA-256 where it is configured.",
        )
    return data, found


def is_safetensors(data: bytes, path: Path) -> bool:
    """Whether a file is safetensors by its name, or by its content: a length, then JSON."""
    return path.suffix == ".safetensors" or data[8:9] == b"{"


def is_torchscript(data: bytes) -> bool:
    """Whether a file's bytes are what ``torch.jit.save`` writes: a zip with code inside."""
    if not data.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return any(name.endswith("/constants.pkl") for name in names)


def unwrap(checkpoint: Any, path: Path) -> StateDict:
    """The weights inside what a training program saved; other entries are dropped.

    Raises
    ------
    FixConfigurationError
        ``weights-do-not-fit``: there are none.
    """
    inner = checkpoint
    while isinstance(inner, Mapping):
        wrapper = next((key for key in WRAPPERS if isinstance(inner.get(key), Mapping)), None)
        if wrapper is None:
            break
        inner = inner[wrapper]
    if isinstance(inner, Mapping):
        state = {
            key: value
            for key, value in inner.items()
            if isinstance(key, str) and isinstance(value, torch.Tensor)
        }
        if state:
            return state
    raise FixConfigurationError(
        f"The file {path} holds no network weights.",
        code="weights-do-not-fit",
        remedy=f"Save a state dict, plain or under one of: {', '.join(WRAPPERS)}.",
    )


def _from_safetensors(data: bytes, path: Path) -> StateDict:
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise unreadable(path) from error


def _from_torch(data: bytes, path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Neither the refused class nor its arguments are repeated: they are the file's words.
        raise FixConfigurationError(
            f"The weights file {path} holds more than weights: opening it could run code.",
            code="weights-unsafe",
            remedy=conversion_command(path),
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise unreadable(path) from error


def conversion_command(path: Path) -> str:
    """What a person runs to turn a trusted checkpoint into a safe one."""
    target = path.with_suffix(".safetensors")
    return (
        "If, and only if, you trust where the file comes from, convert it once: "
        'python -c "import torch; from safetensors.torch import save_file; '
        f"c = torch.load(r'{path}', map_location='cpu', weights_only=False); "
        "c = c.state_dict() if hasattr(c, 'state_dict') else c; "
        "c = c.get('model_state_dict', c.get('state_dict', c)); "
        "save_file({k: v.contiguous().clone() for k, v in c.items() "
        f"if hasattr(v, 'contiguous')}}, r'{target}')\" and configure {target} instead."
    )


def unreadable(path: Path) -> FixConfigurationError:
    """The refusal of a file that is damaged."""
    return FixConfigurationError(
        f"The weights file {path} is damaged or of an unknown format.",
        code="weights-unreadable",
        remedy="Copy the file again; it must be safetensors or written by torch.save.",
    )
