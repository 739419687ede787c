"""What is not read here is decoded by a real Orthanc, for the lab and for the site."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import MPEG2MPML, ExplicitVRLittleEndian, generate_uid

from gcp_side.labseg.errors import SeriesNotShownError
from gcp_side.labseg.orthanc.client import Orthanc
from gcp_side.labseg.viewer.volumes import inflated_slice, load_volume
from infra.encodings.cases import Encoding
from infra.packages.debian import ORTHANC_VARIABLE
from infra.servers.orthanc import OrthancServer
from lab_side.download import download_series
from lab_side.imaging.read.series import read_series
from segrelay.errors import SegRelayError, SeriesRefusedError
from segrelay.orthanc import OrthancClient, OrthancSettings
from tests.support.dicom.foreign_encoders import (
    LOSSLESS,
    Encoder,
    by,
    decoded_by,
    originals,
    write_frames,
)
from tests.support.servers.orthanc import orthanc  # noqa: F401

pytestmark = pytest.mark.orthanc

PROGRESSIVE = "1.2.840.10008.1.2.4.55"
SPECTRAL = "1.2.840.10008.1.2.4.53"
"""Two retired ways of JPEG that Orthanc's own decoder (dcmtk) reads and this project does not."""


@pytest.fixture
def settings(orthanc: OrthancServer) -> OrthancSettings:  # noqa: F811
    return OrthancSettings.model_validate(
        {"url": orthanc.url, "user": orthanc.user, "password": orthanc.password}
    )


@pytest.fixture
def client(settings: OrthancSettings) -> Iterator[OrthancClient]:
    client = OrthancClient(settings)
    yield client
    client.close()


def form(*, is_multi_frame: bool, is_signed: bool = False) -> Encoding:
    return Encoding(
        syntax=ExplicitVRLittleEndian,
        allocated=16,
        stored=12,
        high_bit=11,
        is_signed=is_signed,
        is_multi_frame=is_multi_frame,
        is_whole_cell=False,
    )


def plain_series(folder: Path, encoding: Encoding) -> tuple[list[Path], NDArray[np.int64]]:
    """Uncompressed files with identifiers of their own: the tests share an Orthanc."""
    paths, truth = originals(folder, encoding)
    study, series = generate_uid(), generate_uid()
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(path)
    return paths, truth


def compressed(paths: Sequence[Path], encoder: Encoder) -> list[Path]:
    found = [path.with_suffix(".dcm") for path in paths]
    for path, target in zip(paths, found, strict=True):
        encoder.make(path, target)
    return found


def upload(client: OrthancClient, paths: Sequence[Path]) -> str:
    replies = [client.upload(path.read_bytes()) for path in paths]
    return replies[0].orthanc_series_id


def by_lab(client: OrthancClient, series_id: str, folder: Path) -> NDArray[Any]:
    """[slices, rows, columns] as the agent downloads and the worker reads it."""
    found = download_series(
        client,
        [series_id],
        folder,
        expected={series_id: None},
        progress=lambda _done, _total: None,
        stop=threading.Event(),
    )[series_id]
    volume = read_series(found.files)
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in found.files}
    assert uids == found.sop_instance_uids
    return volume.voxels


def by_site(settings: OrthancSettings, series_id: str) -> NDArray[Any]:
    """[slices, rows, columns] as the viewer gets it."""
    volume = load_volume(series_id, Orthanc(OrthancClient(settings), settings))
    slices = [
        inflated_slice(volume.gzipped, index, volume.shape[1:], volume.dtype)
        for index in range(volume.shape[0])
    ]
    return np.stack(slices)


@pytest.mark.parametrize("transfer", ["pool", "archive"])
@pytest.mark.parametrize("is_multi_frame", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize(("syntax", "option"), [(SPECTRAL, "+es"), (PROGRESSIVE, "+ep")])
def test_both_sides_get_what_dcmtk_decodes(
    client: OrthancClient,
    settings: OrthancSettings,
    tmp_path: Path,
    syntax: str,
    option: str,
    is_multi_frame: bool,
    transfer: str,
) -> None:
    sources, _ = plain_series(tmp_path, form(is_multi_frame=is_multi_frame))
    # The identifiers stay, although values are lost.
    paths = compressed(sources, Encoder(syntax, by("dcmcjpeg", option, "+un", "+bt")))
    assert {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in paths} == {syntax}
    wanted = np.concatenate([decoded_by("dcmdjpeg")(path) for path in paths])
    series = upload(client, paths)
    lab = client.with_settings(transfer=transfer)
    np.testing.assert_array_equal(by_lab(lab, series, tmp_path / "lab"), wanted)
    np.testing.assert_array_equal(by_site(settings, series), wanted)


@pytest.mark.long
@pytest.mark.parametrize("is_multi_frame", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("name", [name for name, one in LOSSLESS.items() if not one.is_variant])
def test_what_is_read_here_comes_as_it_is_stored(
    client: OrthancClient,
    settings: OrthancSettings,
    tmp_path: Path,
    name: str,
    is_multi_frame: bool,
) -> None:
    sources, truth = plain_series(tmp_path, form(is_multi_frame=is_multi_frame))
    series = upload(client, compressed(sources, LOSSLESS[name]))
    np.testing.assert_array_equal(by_lab(client, series, tmp_path / "lab"), truth)
    np.testing.assert_array_equal(by_site(settings, series), truth)
    kept = [pydicom.dcmread(path) for path in (tmp_path / "lab").iterdir()]
    assert {one.file_meta.TransferSyntaxUID for one in kept} == {LOSSLESS[name].syntax}


@pytest.mark.parametrize("name", ["dcmtk JPEG Lossless", "dcmtk JPEG-LS", "dcmtk RLE"])
@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_a_computer_without_codecs_gets_the_original_voxels(
    client: OrthancClient,
    settings: OrthancSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    is_signed: bool,
) -> None:
    sources, truth = plain_series(tmp_path, form(is_multi_frame=False, is_signed=is_signed))
    series = upload(client, compressed(sources, LOSSLESS[name]))
    monkeypatch.setattr("segrelay.dicom.transfer_syntaxes.has_codecs", lambda: False)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    np.testing.assert_array_equal(by_lab(client, series, tmp_path / "lab"), truth)
    np.testing.assert_array_equal(by_site(settings, series), truth)


def test_the_instances_of_a_series_may_be_of_different_syntaxes(
    client: OrthancClient, settings: OrthancSettings, tmp_path: Path
) -> None:
    sources, truth = plain_series(tmp_path, form(is_multi_frame=False))
    makers = (
        LOSSLESS["dcmtk JPEG Lossless"],
        Encoder(PROGRESSIVE, by("dcmcjpeg", "+ep", "+un", "+bt")),
        LOSSLESS["GDCM JPEG 2000"],
    )
    paths = [compressed([path], maker)[0] for path, maker in zip(sources, makers, strict=True)]
    truth[1] = decoded_by("dcmdjpeg")(paths[1])[0]
    series = upload(client, paths)
    np.testing.assert_array_equal(by_lab(client, series, tmp_path / "lab"), truth)
    np.testing.assert_array_equal(by_site(settings, series), truth)


def test_what_orthanc_cannot_decode_is_refused_by_its_name(
    client: OrthancClient, settings: OrthancSettings, tmp_path: Path
) -> None:
    sources, _ = plain_series(tmp_path, form(is_multi_frame=False))
    for path in sources:
        write_frames(pydicom.dcmread(path), [b"no video at all "], MPEG2MPML, path)
    series = upload(client, sources)
    with pytest.raises(SeriesRefusedError, match="MPEG2 Main Profile") as by_the_lab:
        by_lab(client, series, tmp_path / "lab")
    assert by_the_lab.value.code == "compressed-unreadable"
    with pytest.raises(SeriesNotShownError, match="MPEG2 Main Profile") as by_the_site:
        by_site(settings, series)
    assert by_the_site.value.code == "compressed"
    errors: list[SegRelayError] = [by_the_lab.value, by_the_site.value]
    assert all("orthanc-gdcm" in error.remedy for error in errors)


@pytest.mark.parametrize(
    "storage",
    [
        {"IngestTranscoding": "1.2.840.10008.1.2.4.70"},
        {"IngestTranscoding": "1.2.840.10008.1.2", "StorageCompression": True},
    ],
    ids=["compressed at arrival", "deflated on disk"],
)
def test_an_orthanc_that_stores_otherwise_than_it_was_sent(
    tmp_path: Path, storage: dict[str, object]
) -> None:
    sources, truth = plain_series(tmp_path, form(is_multi_frame=False, is_signed=True))
    with OrthancServer(settings=storage) as server:
        settings = OrthancSettings.model_validate(
            {"url": server.url, "user": server.user, "password": server.password}
        )
        client = OrthancClient(settings)
        series = upload(client, sources)
        np.testing.assert_array_equal(by_lab(client, series, tmp_path / "lab"), truth)
        np.testing.assert_array_equal(by_site(settings, series), truth)
        kept = [pydicom.dcmread(path) for path in (tmp_path / "lab").iterdir()]
        client.close()
    wanted = storage["IngestTranscoding"]
    assert {dataset.file_meta.TransferSyntaxUID for dataset in kept} == {wanted}


@pytest.mark.long
@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_the_plugin_that_a_refusal_recommends_adds_jpeg_2000(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_signed: bool
) -> None:
    if os.environ.get(ORTHANC_VARIABLE):
        pytest.skip("the plugin fits the distribution's Orthanc alone")
    sources, truth = plain_series(tmp_path, form(is_multi_frame=False, is_signed=is_signed))
    paths = compressed(sources, LOSSLESS["GDCM JPEG 2000"])
    monkeypatch.setattr("segrelay.dicom.transfer_syntaxes.has_codecs", lambda: False)
    for has_gdcm in (False, True):
        with OrthancServer(has_gdcm=has_gdcm) as server:
            settings = OrthancSettings.model_validate(
                {"url": server.url, "user": server.user, "password": server.password}
            )
            client = OrthancClient(settings)
            series = upload(client, paths)
            if has_gdcm:
                np.testing.assert_array_equal(by_lab(client, series, tmp_path / "lab"), truth)
                np.testing.assert_array_equal(by_site(settings, series), truth)
            else:
                with pytest.raises(SeriesRefusedError, match="JPEG 2000 Lossless"):
                    by_lab(client, series, tmp_path / "refused")
            client.close()
