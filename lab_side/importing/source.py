"""Find out whether a path to import is weights, or a MONAI bundle around them."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

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


class _Files(Protocol):
    """A tree of files by relative name."""

    def names(self) -> Sequence[str]:
        """Those of a bundle's files that are there."""

    def open(self, name: str) -> IO[bytes]:
        """Read one."""

    def path(self, name: str, /) -> Path | None:
        """Where it lies on the disk; None in a zip."""


class Source:
    """An opened path; ``bundle`` is None where it is a file of weights."""

    def __init__(self, files: _Files, weights: str, bundle: BundleAttributes | None) -> None:
        self._files, self._weights = files, weights
        self.bundle = bundle

    @property
    def weights_name(self) -> str:
        """How the copy is called: the suffix distinguishes safetensors and programs."""
        suffix = PurePosixPath(self._weights).suffix
        return f"weights{suffix if suffix in _SUFFIXES else '.pth'}"

    @property
    def weights_path(self) -> Path | None:
        """Where the weights lie; None: in a zip."""
        return self._files.path(self._weights)

    @property
    def kind(self) -> str:
        """Kind of the source, for messages."""
        if self.bundle is None:
            return "a file of weights"
        return f"a MONAI bundle; its weights are {self._weights}"

    def copy_weights(self, target: Path) -> None:
        """Copy the weights' bytes as they are."""
        with self._files.open(self._weights) as source, target.open("wb") as file:
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
            yield _bundle(_Folder(path), path)
        elif zipfile.is_zipfile(path) and _holds_bundle(path):
            with zipfile.ZipFile(path) as archive:
                yield _bundle(_Zip(archive), path)
        elif path.is_file():
            yield Source(_Folder(path.parent), path.name, None)
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


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> Sequence[str]:
        wanted = (_CONFIG, _METADATA, *_WEIGHTS)
        return [name for name in wanted if (self._root / name).is_file()]

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")

    def path(self, name: str) -> Path | None:
        return self._root / name


class _Zip:
    """A bundle in a zip, with or without a folder of its own around it."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._root = _zip_root(archive.namelist())

    def names(self) -> Sequence[str]:
        cut = len(self._root)
        return [n[cut:] for n in self._archive.namelist() if n.startswith(self._root)]

    def open(self, name: str) -> IO[bytes]:
        member = self._archive.getinfo(self._root + name)
        if member.file_size > UNPACKED_BYTES + UNPACKED_RATIO * member.compress_size:
            raise zipfile.BadZipFile
        return self._archive.open(member)

    def path(self, _name: str) -> Path | None:
        return None


def _holds_bundle(path: Path) -> bool:
    """A checkpoint is a zip as well; a bundle has its configuration inside."""
    with zipfile.ZipFile(path) as archive:
        return any(_is_config(name) for name in archive.namelist())


def _is_config(name: str) -> bool:
    return name in (_CONFIG, _METADATA) or name.endswith((f"/{_CONFIG}", f"/{_METADATA}"))


def _zip_root(names: Sequence[str]) -> str:
    config = next(name for name in names if _is_config(name))
    return config[: config.rindex("configs/")]


def _bundle(files: _Files, path: Path) -> Source:
    names = files.names()
    weights = next((name for name in _WEIGHTS if name in names), None)
    if _CONFIG not in names or weights is None:
        missing = _CONFIG if _CONFIG not in names else " or ".join(_WEIGHTS)
        raise FixConfigurationError(
            f"The bundle {path} has no {missing}.",
            code="bundle-incomplete",
            remedy="Download the bundle with its weights; a configuration in YAML is not read.",
        )
    inference = _json(files, _CONFIG)
    metadata = _json(files, _METADATA) if _METADATA in names else {}
    return Source(files, weights, read_bundle(inference, metadata))


def _json(files: _Files, name: str) -> dict[str, Any]:
    with files.open(name) as file:
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
