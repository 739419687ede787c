"""What each reader finds in the files of a series: the product's two sides, and three others."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813  (the library's own abbreviation)
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from gcp_side.labseg.dicom.pixels import read_slices
from lab_side.imaging.read.series import read_series
from segrelay.errors import SegRelayError

Found = NDArray[Any] | str
"""[slices, rows, columns] values, or why there are none."""


def read_by_all(files: Sequence[bytes]) -> dict[str, Found]:
    """By reader; files in slice order.

    No reader is asked to rescale: the table is about stored values.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = []
        for number, data in enumerate(files):
            paths.append(Path(folder, f"{number}.dcm"))
            paths[-1].write_bytes(data)
        return {name: read(paths) for name, read in READERS.items()}


def _by_lab(paths: Sequence[Path]) -> Found:
    try:
        return read_series(paths).voxels
    except SegRelayError as error:
        return error.code


def _by_site(paths: Sequence[Path]) -> Found:
    try:
        images = [image for path in paths for image in read_slices(path.read_bytes())]
    except SegRelayError as error:
        return error.code
    return np.stack([image.voxels for image in images])


_PLUGINS = {JPEGLSLossless: "pyjpegls", JPEG2000Lossless: "pillow", RLELossless: "pydicom"}
"""Of pydicom: not its default, which is GDCM, a reader of its own here."""


def _by_pydicom(paths: Sequence[Path]) -> Found:
    frames = []
    for path in paths:
        dataset = pydicom.dcmread(path)
        plugin = _PLUGINS.get(dataset.file_meta.TransferSyntaxUID, "")
        try:
            frames.append(pixel_array(dataset, decoding_plugin=plugin))
        except Exception as error:  # whatever the reader of others says, the table goes on
            return type(error).__name__
    return np.concatenate([frame.reshape(-1, *frame.shape[-2:]) for frame in frames])


def _apart(read: Callable[[Sequence[Path]], Found]) -> Callable[[Sequence[Path]], Found]:
    """``read`` in a process of its own: some errors of GDCM end the process that meets them."""
    processes = get_context("fork")

    def run(paths: Sequence[Path]) -> Found:
        ours, theirs = processes.Pipe(duplex=False)
        child = processes.Process(target=_answer, args=(theirs, read, paths))
        child.start()
        theirs.close()
        try:
            found: Found = ours.recv()
        except EOFError:
            found = "aborted"
        child.join()
        return found

    return run


def _answer(
    pipe: Connection, read: Callable[[Sequence[Path]], Found], paths: Sequence[Path]
) -> None:
    # What a reader says on its way out is the table's "aborted".
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    pipe.send(read(paths))
    pipe.close()


def _by_gdcm(paths: Sequence[Path]) -> Found:
    frames = []
    for path in paths:
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        if not reader.Read():
            return "not read"
        image = reader.GetImage()
        form = image.GetPixelFormat()
        data = image.GetBuffer().encode("utf-8", "surrogateescape")
        kind = f"<{'i' if form.GetPixelRepresentation() else 'u'}{form.GetBitsAllocated() // 8}"
        columns, rows = image.GetDimension(0), image.GetDimension(1)
        frames.append(np.frombuffer(data, kind).reshape(-1, rows, columns))
    return np.concatenate(frames)


def _by_simpleitk(paths: Sequence[Path]) -> Found:
    try:
        frames = [
            sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
            for path in paths
        ]
    except RuntimeError:
        return "not read"
    return np.concatenate([frame.reshape(-1, *frame.shape[-2:]) for frame in frames])


READERS: Mapping[str, Callable[[Sequence[Path]], Found]] = {
    "lab": _by_lab,
    "site": _by_site,
    "pydicom": _apart(_by_pydicom),
    "GDCM": _apart(_by_gdcm),
    "SimpleITK": _apart(_by_simpleitk),
}
