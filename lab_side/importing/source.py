"""Find out whether a path to import is weights, or a MONAI bundle around them."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lab_side.importing.bundle import BundleAttributes, read_bundle
from segrelay.errors import FixConfigurationError
from segrelay.parsing.text_files import SAVE_AS_UTF_8, UnreadableTextError, decode_text

_CONFIG, _METADATA = "configs/inference.json", "configs/metadata.json"
_WEIGHTS = ("models/model.safetensors", "models/model.pt", "models/model.ts")
"""In a bundle; the first one present is taken: data before a program."""

_LARGEST_JSON = 4 * 1024 * 1024
UNPACKED_RATIO = 8
"""Weights in a zip have nearly their whole size. A file may unpack to so many times its own …"""
UNPACKED_BYTES = 64 * 1024 * 1024
"""… and to so many bytes more."""

_SUFFIXES = {".safetensors", ".ts"}


_Place = Path | zipfile.Path
"""A file or a folder, on the disk or in a zip."""


class Source:
    """An opened path; ``bundle`` is None where it is a file of weights."""

    def __init__(self, root: _Place, weights: str, bundle: BundleAttributes | None) -> None:
        self._file, self._weights = root / weights, weights
        self.bundle = bundle

    @property
    def weights_name(self) -> str:
        """How the copy is called: the suffix distinguishes safetensors and programs."""
        suffix = PurePosixPath(self._weights).suffix
        return f"weights{suffix if suffix in _SUFFIXES else '.pth'}"

    @property
    def weights_path(self) -> Path | None:
        """Where the weights lie; None: in a zip."""
        return self._file if isinstance(self._file, Path) else None

    @property
    def kind(self) -> str:
        """Kind of the source, for messages."""
        if self.bundle is None:
            return "a file of weights"
        return f"a MONAI bundle; its weights are {self._weights}"

    def copy_weights(self, target: Path) -> None:
        """Copy the weights' bytes as they are."""
        with _open(self._file) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1024 * 1024)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open what is to be imported; it stays open within the block. No weights are read.

    Raises
    ------
    FixConfigurationError
        ``source-missing``, ``bundle-incomplete``, ``bundle-json``, or one of ``read_bundle``.
    """
    try:
        if path.is_dir():
            yield _bundle(path, path)
        elif zipfile.is_zipfile(path) and _holds_bundle(path):
            with zipfile.ZipFile(path) as archive:
                root = _zip_root(archive.namelist())
                yield _bundle(zipfile.Path(archive, root), path)
        elif path.is_file():
            yield Source(path.parent, path.name, None)
        else:
            raise FixConfigurationError(
                f"There is nothing at {path}.",
                code="source-missing",
                remedy="Give a file of weights, or the folder or zip of a MONAI bundle.",
            )
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise FixConfigurationError(
            f"The zip file {path} is damaged.", code="source-missing", remedy="Copy it again."
        ) from error


def _open(file: _Place) -> IO[bytes]:
    """Open a file; one in a zip only where it unpacks to a sensible size."""
    if isinstance(file, Path):
        return file.open("rb")
    member = file.root.getinfo(file.at)
    if member.file_size > UNPACKED_BYTES + UNPACKED_RATIO * member.compress_size:
        raise zipfile.BadZipFile
    return file.root.open(member)


def _holds_bundle(path: Path) -> bool:
    """A checkpoint is a zip as well; a bundle has its configuration inside."""
    with zipfile.ZipFile(path) as archive:
        return any(_is_config(name) for name in archive.namelist())


def _is_config(name: str) -> bool:
    return name in (_CONFIG, _METADATA) or name.endswith((f"/{_CONFIG}", f"/{_METADATA}"))


def _zip_root(names: Sequence[str]) -> str:
    config = next(name for name in names if _is_config(name))
    return config[: config.rindex("configs/")]


def _bundle(root: _Place, path: Path) -> Source:
    config, metadata = root / _CONFIG, root / _METADATA
    weights = next((name for name in _WEIGHTS if (root / name).is_file()), None)
    if not config.is_file() or weights is None:
        missing = _CONFIG if not config.is_file() else " or ".join(_WEIGHTS)
        raise FixConfigurationError(
            f"The bundle {path} has no {missing}.",
            code="bundle-incomplete",
            remedy="Download the bundle with its weights; a configuration in YAML is not read.",
        )
    described = _json(metadata, _METADATA) if metadata.is_file() else {}
    return Source(root, weights, read_bundle(_json(config, _CONFIG), described))


def _json(path: _Place, name: str) -> dict[str, Any]:
    with _open(path) as file:
        text = file.read(_LARGEST_JSON + 1)
    try:
        document = json.loads(decode_text(text)) if len(text) <= _LARGEST_JSON else None
    except UnreadableTextError as error:
        raise FixConfigurationError(
            f"The bundle's {name} {error}.", code="bundle-json", remedy=SAVE_AS_UTF_8
        ) from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise FixConfigurationError(
            f"The bundle's {name} is not a JSON object of at most 4 MB.",
            code="bundle-json",
            remedy="Download the bundle again.",
        )
    return document
