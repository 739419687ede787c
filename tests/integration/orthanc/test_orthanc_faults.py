"""Every fault at every call to a real Orthanc: the whole series, or an error; never a part."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from infra.fake_gcs import Fault, FaultKind
from infra.servers.orthanc import OrthancServer
from lab_side.download import download_series
from segrelay.errors import SegRelayError, TransientError
from segrelay.orthanc import OrthancClient, OrthancSettings
from segrelay.retry import RetryPolicy
from tests.support.lab.lab import StoredStudy, store_phantom
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy
from tests.support.servers.orthanc import orthanc as orthanc

ONE_OF = 4
"""So many pairs of call and fault make one test of a usual run."""

BOUND_S = 60.0
"""A download may take this long whatever happens; undisturbed it takes a tenth of a second."""

EVER = 10**6

DRIP_S = 0.3
"""Between two bytes: within every time-out, and far too slow as a whole."""

CALLS = {
    "inventory": ("/tools/bulk-content", 0),
    "second inventory": ("/tools/bulk-content", 1),
    "first instance": ("/file", 0),
    "an instance in the middle": ("/file", 11),
    "last instance": ("/file", 79),
    "first archive": ("/tools/create-archive", 0),
    "an archive in the middle": ("/tools/create-archive", 3),
}
"""Part of the path, and how many such requests pass before."""

FAULTS = [
    Fault(kind=kind, seconds=DRIP_S)
    for kind in FaultKind
    if kind not in (FaultKind.DELAY, FaultKind.STATUS, FaultKind.STATUS_AFTER)
] + [
    Fault(kind=kind, status=status)
    for kind in (FaultKind.STATUS, FaultKind.STATUS_AFTER)
    for status in (429, 500, 503)
]


@pytest.fixture(scope="module")
def study(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    """Four series of 20 instances."""
    return store_phantom(orthanc, tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def whole(orthanc: OrthancServer, study: StoredStudy) -> dict[str, bytes]:
    """What Orthanc has, by instance."""
    client = connect(orthanc.url, orthanc)
    ids = [item.orthanc_id for item in client.inventory(study.series_ids)]
    found = {instance: client.instance_file(instance) for instance in ids}
    client.close()
    assert len(found) == 80
    return found


@pytest.fixture
def line(orthanc: OrthancServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    monkeypatch.setattr("segrelay.retry.ORTHANC_REQUEST", RetryPolicy(first=0.02))
    with fault_proxy(orthanc.url) as proxy:
        yield proxy
        proxy.faults.clear()


def connect(url: str, server: OrthancServer, **changes: object) -> OrthancClient:
    fields = {"url": url, "user": server.user, "password": server.password, **changes}
    return OrthancClient(OrthancSettings.model_validate(fields))


def fetch(client: OrthancClient, study: StoredStudy, folder: Path) -> dict[str, bytes]:
    """Download; what came, by instance, and only that."""
    began = time.monotonic()
    try:
        found = download_series(
            client,
            study.series_ids,
            folder,
            expected=dict.fromkeys(study.series_ids, study.instances),
            progress=lambda _done, _total: None,
            stop=threading.Event(),
        )
    finally:
        assert time.monotonic() - began < BOUND_S
    return {path.stem: path.read_bytes() for one in found.values() for path in one.files}


def label(fault: Fault) -> str:
    status = "status" in fault.kind.value
    return f"{fault.kind.value}-{fault.status}" if status else fault.kind.value


def every_pair() -> list[ParameterSet]:
    """Call and fault; without ``--long`` each call with some faults, each fault at some calls."""
    return [
        pytest.param(
            call,
            fault,
            id=f"{call}-{label(fault)}",
            marks=() if (row + column) % ONE_OF == 0 else pytest.mark.long,
        )
        for row, call in enumerate(CALLS)
        for column, fault in enumerate(FAULTS)
    ]


@pytest.mark.parametrize(("call", "fault"), every_pair())
def test_one_fault_costs_nothing(
    line: FaultProxy,
    orthanc: OrthancServer,
    study: StoredStudy,
    whole: dict[str, bytes],
    tmp_path: Path,
    call: str,
    fault: Fault,
) -> None:
    part, skip = CALLS[call]
    transfer = "archive" if "archive" in call else "pool"
    client = connect(
        line.url, orthanc, transfer=transfer, connections=4, read_timeout=1.0, retries=2
    )
    line.faults.add(replace(fault, name_contains=part, skip=skip))
    assert fetch(client, study, tmp_path) == whole
    assert line.faults.hits == 1
    client.close()


@pytest.mark.parametrize("fault", FAULTS, ids=label)
@pytest.mark.parametrize("transfer", ["pool", "archive"])
def test_a_line_that_breaks_for_good_gives_an_error_and_later_the_rest(
    line: FaultProxy,
    orthanc: OrthancServer,
    study: StoredStudy,
    whole: dict[str, bytes],
    tmp_path: Path,
    transfer: str,
    fault: Fault,
) -> None:
    client = connect(
        line.url, orthanc, transfer=transfer, connections=4, read_timeout=0.5, retries=0
    )
    line.faults.add(replace(fault, name_contains="/file", skip=30, times=EVER))
    archives = replace(fault, name_contains="/tools/create-archive", skip=2, times=EVER)
    line.faults.add(archives)
    # What the archives lack is asked for one by one, too.
    with pytest.raises(TransientError):
        fetch(client, study, tmp_path)
    assert len(list(tmp_path.glob("*.dcm"))) >= 20
    line.faults.clear()
    asked = len(line.requests)
    assert fetch(client, study, tmp_path) == whole
    assert len(line.requests) - asked < 80, "what was there has been asked for again"
    client.close()


def test_a_download_that_is_refused_names_the_reason(
    line: FaultProxy, orthanc: OrthancServer, study: StoredStudy, tmp_path: Path
) -> None:
    client = connect(line.url, orthanc, retries=0)
    for status, code in ((401, "orthanc-credentials"), (413, "orthanc-too-large")):
        line.faults.add(
            Fault(kind=FaultKind.STATUS, status=status, name_contains="/file", times=EVER)
        )
        with pytest.raises(SegRelayError) as caught:
            fetch(client, study, tmp_path)
        assert caught.value.code == code
        line.faults.clear()
    client.close()
