"""Archives that two libraries read differently, and files that unpack or declare too much."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from lab_side.importing.source import open_source
from lab_side.models.adapters import MOST_PREFIXES, spellings
from lab_side.models.archive import INFLATED_BYTES, UnsafeArchiveError, checked_members
from lab_side.models.torchscript import read_program
from lab_side.models.weights import MOST_TENSORS, read_checkpoint
from segrelay.errors import FixConfigurationError
from tests.support.networks.importing import inference_json
from tests.support.networks.torchscript import WritesWhenLoaded, save_scripted

STATE = {"weight": torch.arange(6.0).reshape(2, 3)}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("honest")
    return save_scripted(nn.Identity(), folder / "same.ts").read_bytes()


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    return tmp_path / "written"


@pytest.fixture
def evil(sentinel: Path, tmp_path: Path) -> bytes:
    return save_scripted(WritesWhenLoaded(str(sentinel)), tmp_path / "same.ts").read_bytes()


def refusal(data: bytes, folder: Path, name: str = "model.ts") -> str:
    path = folder / name
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    read = read_program if name.endswith(".ts") else read_checkpoint
    with pytest.raises(FixConfigurationError) as caught:
        read(path, sha256=sha256)
    assert caught.value.remedy
    return caught.value.code


def end_of(data: bytes) -> tuple[int, int, int]:
    """Where the directory of an archive is, its size, and how many files it names."""
    *_, count, size, start, _ = struct.unpack_from("<4sHHHHLLH", data, len(data) - 22)
    return start, size, count


def ended(start: int, size: int, count: int) -> bytes:
    return struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, count, count, size, start, 0)


def two_directories(honest: bytes, evil: bytes) -> bytes:
    """The end names the first archive's directory; counted from behind, it is the second's.

    Python looks right before the end, PyTorch where the end says.
    """
    first, size, count = end_of(evil)
    second, other_size, other_count = end_of(honest)
    assert (count, first > second) == (other_count, True)
    directory = bytearray(honest[second : second + other_size])
    for at in _files_of(directory):
        (offset,) = struct.unpack_from("<L", directory, at + 42)
        struct.pack_into("<L", directory, at + 42, offset + first - second)
    length = max(size, other_size)
    hidden = _lengthened(evil[first : first + size], length)
    shown = _lengthened(bytes(directory), length)
    return evil[:first] + hidden + honest[:second] + shown + ended(first, length, count)


def _files_of(directory: bytes | bytearray) -> list[int]:
    return [found.start() for found in re.finditer(b"PK\x01\x02", directory)]


def _lengthened(directory: bytes, length: int) -> bytes:
    """By a comment of its last file."""
    longer = bytearray(directory)
    struct.pack_into("<H", longer, _files_of(directory)[-1] + 32, length - len(directory))
    return bytes(longer) + b"x" * (length - len(directory))


def in_two_folders(honest: bytes, evil: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for data, folder in ((evil, "b"), (honest, "a")):
            with zipfile.ZipFile(io.BytesIO(data)) as source:
                for info in source.infolist():
                    name = folder + "/" + info.filename.partition("/")[2]
                    archive.writestr(name, source.read(info))
    return made.getvalue()


def rewritten(data: bytes, rename: Callable[[str], str], *more: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings():
        # A name that is there twice is warned of.
        warnings.simplefilter("ignore")
        with (
            zipfile.ZipFile(io.BytesIO(data)) as source,
            zipfile.ZipFile(made, "w") as archive,
        ):
            for info in source.infolist():
                archive.writestr(rename(info.filename), source.read(info))
            for name, content in more:
                archive.writestr(name, content)
    return made.getvalue()


def in_capitals(name: str) -> str:
    return name.replace(".py", ".PY") if name.endswith(".py") else name


def with_another_local_name(data: bytes) -> bytes:
    return data.replace(b"constants.pkl", b"constants.pk1", 1)


CHANGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "two directories": two_directories,
    "two folders": in_two_folders,
    "one archive behind another": lambda honest, evil: evil + honest,
    "the other way round": lambda honest, evil: honest + evil,
    "something before it": lambda honest, _evil: b"PK\x03\x04junk" + honest,
    "something behind it": lambda honest, _evil: honest + b"junk",
    "a comment": lambda honest, _evil: honest[:-2] + b"\x04\x00junk",
    "a file twice": lambda honest, _evil: rewritten(honest, str, ("same/version", b"3")),
    "a file twice in capitals": lambda honest, _evil: rewritten(
        honest, str, ("same/VERSION", b"3")
    ),
    "a path upwards": lambda honest, _evil: rewritten(honest, str, ("same/../x", b"")),
    "an absolute path": lambda honest, _evil: rewritten(honest, str, ("/x", b"")),
    "a folder": lambda honest, _evil: rewritten(honest, str, ("same/x/", b"")),
    "a backslash": lambda honest, _evil: rewritten(honest, str, ("same/a\\b", b"")),
    "a drive": lambda honest, _evil: rewritten(honest, str, ("C:/x", b"")),
    "another name in its own header": lambda honest, _evil: with_another_local_name(honest),
    "code in capitals": lambda _honest, evil: rewritten(evil, in_capitals),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_archive_that_is_read_in_two_ways_is_refused(
    tmp_path: Path, honest: bytes, evil: bytes, sentinel: Path, change: str
) -> None:
    data = CHANGES[change](honest, evil)
    assert refusal(data, tmp_path) == "weights-unsafe"
    assert not sentinel.exists()


def test_two_directories_would_hide_a_program(honest: bytes, evil: bytes, sentinel: Path) -> None:
    data = two_directories(honest, evil)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        shown = b"".join(archive.read(name) for name in archive.namelist() if ".py" in name)
    assert b"save" not in shown
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(io.BytesIO(data))
    assert sentinel.exists()


def test_what_pytorch_writes_is_taken(tmp_path: Path, honest: bytes) -> None:
    names = [member.name for member in checked_members(honest)]
    assert "constants.pkl" in names
    for name in ("plain.pth", "이름 하나.pth"):
        torch.save(STATE, tmp_path / name)
        assert len(checked_members((tmp_path / name).read_bytes())) > 3
        state, _ = read_checkpoint(tmp_path / name, sha256=None)
        assert torch.equal(state["weight"], STATE["weight"])


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=200)
def test_a_damaged_archive_is_refused_and_nothing_else(at: int, byte: int, cut: bool) -> None:
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    data = bytearray(buffer.getvalue())
    place = at % len(data)
    if cut:
        del data[place:]
    else:
        data[place] = byte
    try:
        members = checked_members(bytes(data))
    except (UnsafeArchiveError, zipfile.BadZipFile, NotImplementedError):
        return
    assert sum(member.info.file_size for member in members) <= len(data) + INFLATED_BYTES


def test_a_checkpoint_that_unpacks_to_a_thousand_times_is_refused(tmp_path: Path) -> None:
    made, zeros = io.BytesIO(), bytes(INFLATED_BYTES // 2)
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    with (
        zipfile.ZipFile(buffer) as source,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for info in source.infolist():
            archive.writestr(info.filename, source.read(info))
        for number in range(3):
            archive.writestr(f"archive/data/{number + 7}", zeros)
    assert len(made.getvalue()) < 1024 * 1024
    del zeros
    tracemalloc.start()
    try:
        assert refusal(made.getvalue(), tmp_path, "model.pth") == "weights-unsafe"
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


def safetensors_file(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def described(count: int) -> bytes:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return json.dumps({f"t{n}": entry for n in range(count)}).encode()


@pytest.mark.parametrize(
    "data",
    [
        safetensors_file(described(MOST_TENSORS + 1)),
        safetensors_file(b'{"' + b"x" * 5_000_000 + b'":1}'),
        (2**63).to_bytes(8, "little") + b"{}",
        safetensors_file(b"{" * 10_000),
        safetensors_file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        safetensors_file(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,16]}}', bytes(16)),
        safetensors_file(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
            bytes(12),
        ),
        safetensors_file(
            b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}',
            bytes(16),
        ),
        save(STATE) + b"more",
        save(STATE)[:-1],
        b"",
    ],
)
def test_a_safetensors_header_that_is_not_true_is_refused_at_once(
    tmp_path: Path, data: bytes
) -> None:
    started = time.monotonic()
    assert refusal(data, tmp_path, "model.safetensors") == "weights-unreadable"
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(10**5, 10**5, device="meta"),
        torch.sparse_coo_tensor(
            torch.zeros(2, 1, dtype=torch.int64),
            torch.ones(1),
            (10**6, 10**6),
            check_invariants=True,
        ),
    ],
)
def test_a_tensor_that_is_larger_than_its_numbers_is_refused(
    tmp_path: Path, tensor: torch.Tensor
) -> None:
    torch.save({"weight": tensor}, tmp_path / "made.pth")
    data = (tmp_path / "made.pth").read_bytes()
    assert refusal(data, tmp_path, "model.pth") == "weights-do-not-fit"


def test_a_name_of_prefixes_alone_ends() -> None:
    state = {"module." * 10**5 + "weight": torch.zeros(1)}
    started = time.monotonic()
    assert len(spellings(state)) == MOST_PREFIXES + 1
    assert time.monotonic() - started < 3


def test_a_bundle_whose_weights_unpack_to_a_thousand_times_is_refused(tmp_path: Path) -> None:
    path, copy = tmp_path / "bundle.zip", tmp_path / "copy"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("configs/inference.json", json.dumps(inference_json()))
        archive.writestr("models/model.pt", bytes(100 * 1024 * 1024))
    with pytest.raises(FixConfigurationError) as caught, open_source(path) as source:
        source.copy_weights(copy)
    assert caught.value.code == "source-missing"
    assert not copy.exists()
