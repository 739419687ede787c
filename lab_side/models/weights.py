"""Reading a checkpoint without running code from it.

Two formats: safetensors, and PyTorch's own with ``weights_only=True``, which builds tensors
and plain containers only. A pickled object of any other class is refused. TorchScript, which
is a program, has a module of its own.
"""

from __future__ import annotations

import errno
import hashlib
import pickle
import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from lab_side.models.archive import ArchiveMember, UnsafeArchiveError, checked_members
from segrelay.errors import FixConfigurationError
from segrelay.system.system_limits import raise_if_limit

StateDict = dict[str, torch.Tensor]

LARGEST_FILE = 16 * 1024**3
"""Bytes of a weights file, which is in memory as a whole: eight times the largest networks."""

LARGEST_HEADER = 4 * 1024 * 1024
"""Bytes of what a safetensors file says of its tensors: two hundred for each."""

MOST_TENSORS = 20_000
"""In a safetensors file: the largest networks have some thousands."""

SMALL_VIEW = 1024 * 1024
"""Bytes of a tensor that may show its numbers more than once."""

_LENGTH_BYTES = 8
"""In which a safetensors file says how long its header is."""

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
        if path.stat().st_size > LARGEST_FILE:
            raise OSError(errno.EFBIG, "it is larger than any network's")
        data = path.read_bytes()
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise_if_limit(error)
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
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
    return any(name.lower().endswith("/constants.pkl") for name in names)


def archive_members(data: bytes, path: Path) -> list[ArchiveMember]:
    """The files of a zip that PyTorch wrote.

    Raises
    ------
    FixConfigurationError
        ``weights-unsafe`` or ``weights-unreadable``.
    """
    try:
        return checked_members(data)
    except UnsafeArchiveError as error:
        raise FixConfigurationError(
            f"The weights file {path} is not an archive as PyTorch writes it: {error}.",
            code="weights-unsafe",
            remedy="Save it again with PyTorch; an archive that was changed is not opened.",
        ) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise unreadable(path) from error


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
        if state and all(map(_has_all_numbers, state.values())):
            return state
    raise FixConfigurationError(
        f"The file {path} holds no network weights.",
        code="weights-do-not-fit",
        remedy=f"Save a state dict, plain or under one of: {', '.join(WRAPPERS)}.",
    )


def _has_all_numbers(tensor: torch.Tensor) -> bool:
    """Whether each of its numbers is in the file: a view can show one number a billion times."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return False
    size = tensor.numel() * tensor.element_size()
    return size <= max(tensor.untyped_storage().nbytes(), SMALL_VIEW)


def _from_safetensors(data: bytes, path: Path) -> StateDict:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = data[_LENGTH_BYTES : _LENGTH_BYTES + min(length, LARGEST_HEADER)]
    if length > LARGEST_HEADER or header.count(b"{") > MOST_TENSORS:
        raise FixConfigurationError(
            f"The weights file {path} describes more tensors than any network has.",
            code="weights-unreadable",
            remedy="Copy the file again; it must be safetensors or written by torch.save.",
        )
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise unreadable(path) from error


def _from_torch(data: bytes, path: Path) -> Any:
    if data.startswith(b"PK"):
        archive_members(data, path)
    try:
        with (
            torch.serialization.safe_globals(_NUMBERS),
            # Indices of a sparse tensor could lead outside its numbers.
            torch.sparse.check_sparse_tensor_invariants(True),
        ):
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
    """Command that turns a trusted checkpoint into a safe one."""
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
