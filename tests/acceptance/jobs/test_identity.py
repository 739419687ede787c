"""I6: whatever a run writes, says or shows, a patient's identity is not in it.

Every field of the images that may hold one holds a name that would show anywhere: also those
that the imaging reads, and refuses in words of its own.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pydicom
import pytest
import requests
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from infra.fake_gcs import Fault, FaultKind
from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from segrelay.names import JobName
from segrelay.queue import JobState
from tests.support.lab.lab import DEADLINE, PATIENT_NAME, Lab, StoredStudy, open_lab, store_files
from tests.support.servers.fault_proxy import FaultProxy, fault_proxy

TELLING = {
    "PatientName": "Zebrafinch^Quixotia",
    "PatientID": "MRN-IGUANA",
    "OtherPatientNames": "Okapiwood",
    "PatientAddress": "Wombatstrasse 9",
    "PatientTelephoneNumbers": "0555-8877",
    "PatientComments": "Narwhalesque",
    "InstitutionName": "Axolotl Hospital",
    "ReferringPhysicianName": "Pangolin^Ada",
    "OperatorsName": "Kakaporo^Bo",
    "StudyDescription": "Breast of Zebrafinch",
    "SeriesDescription": "Quixotia phase",
    "ProtocolName": "Quokkamoto",
    "ImageComments": "Tapirissimo",
    "AccessionNumber": "ACC-PLATYPUS",
}
WORDS = (
    *("zebrafinch", "quixotia", "iguana", "okapiwood", "wombat", "0555-88", "narwhal"),
    *("axolotl", "pangolin", "kakapo", "quokka", "tapir", "platypus"),
)
"""Of each of them, in lower case; none of digits alone, as there are many in UIDs."""

NUMBERS = ("PixelSpacing", "SliceThickness", "EchoTime", "AcquisitionTime")
"""Fields whose values the imaging may read: text in them must not be quoted."""

EVER = 10**6


@pytest.fixture
def telling(orthanc: OrthancServer, tmp_path: Path) -> Iterator[tuple[Lab, FaultProxy]]:
    """A lab whose study tells in every field; its way to Orthanc can be broken."""
    with fault_proxy(orthanc.url) as proxy, open_lab(orthanc, tmp_path) as lab:
        yield lab, proxy


def test_i6_no_identity_in_anything_that_a_run_writes(telling: tuple[Lab, FaultProxy]) -> None:
    lab, proxy = telling
    good = tell(lab)
    odd, gap = tell(lab, unreadable=NUMBERS), tell(lab, leave_out=3)
    port = free_port()
    settings = lab.folder / "agent.toml"
    settings.write_text(f"metrics_port = {port}\nmin_free_gb = 0\n")
    agent = lab.start_agent("--config", str(settings), "run", SEGRELAY_ORTHANC_URL=proxy.url)

    jobs = [submit(lab, study, max_attempts=1) for study in (good, odd, gap)]
    ends = [lab.wait_until_ended(job).state for job in jobs]
    assert ends == [JobState.SUCCEEDED, JobState.FAILED, JobState.FAILED]
    proxy.faults.add(
        Fault(kind=FaultKind.STATUS, operation="POST", name_contains="/instances", times=EVER)
    )
    waiting = submit(lab, good)
    lab.wait_for(lambda: lab.has_event("delivery postponed"), "a SEG waits in the outbox")
    outbox = lab.home / "outbox" / waiting.job_id

    said = [
        lab.run_agent("--config", str(settings), *command)
        for command in (
            ("status",),
            ("status", "--json"),
            ("queue",),
            ("queue", "--json"),
            ("outbox", "list", "--json"),
            ("logs",),
            ("logs", "--json", "--job", jobs[1].job_id),
            ("doctor", "--quick"),
        )
    ]
    texts = {" ".join(item.args[-2:]): item.stdout + item.stderr for item in said}
    texts["metrics"] = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    texts["processes"] = " ".join(command_lines(agent))
    assert "segrelay_claims_total" in texts["metrics"]
    assert waiting.job_id in texts["status --json"]
    written = {str(path): path.read_bytes() for path in files(lab)}
    assert {"draft.json", "trouble.json"} <= {path.name for path in outbox.iterdir()}
    assert lab.home / "logs/lab-1.log" in files(lab)
    texts |= {name: data.decode("utf-8", "replace") for name, data in written.items()}

    for where, text in texts.items():
        shown = [word for word in words(lab) if word in text.lower()]
        assert not shown, f"{shown} in {where}"
    proxy.faults.clear()
    assert lab.wait_until_ended(waiting).state is JobState.SUCCEEDED
    agent.terminate()
    assert agent.wait(DEADLINE) == 0


def test_the_words_would_be_found() -> None:
    """The search is no good if it looks for what the images do not say."""
    said = " ".join(TELLING.values()).lower()
    assert all(word in said for word in WORDS)
    assert all(any(word in value.lower() for word in WORDS) for value in TELLING.values())
    assert TELLING["PatientName"] == PATIENT_NAME


def tell(lab: Lab, *, unreadable: Sequence[str] = (), leave_out: int | None = None) -> StoredStudy:
    """The phantom's series again as other ones that tell in every field; into Orthanc."""
    target = lab.folder / "study" / secrets.token_hex(4)
    target.mkdir()
    series: dict[int, list[tuple[int, Path]]] = {}
    uids: dict[int, str] = {}
    for path in (lab.folder / "study" / "dicom").iterdir():
        image = pydicom.dcmread(path)
        number, position = int(image.SeriesNumber), int(image.InstanceNumber)
        image.SeriesInstanceUID = uids.setdefault(number, generate_uid())
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        make_telling(image, unreadable)
        image.save_as(target / path.name, enforce_file_format=True)
        if position != leave_out:
            series.setdefault(number, []).append((position, target / path.name))
    phases = [sorted(files) for _, files in sorted(series.items())]
    return store_files(lab.orthanc, [[path for _, path in files] for files in phases])


def make_telling(image: Dataset, unreadable: Sequence[str]) -> None:
    for keyword, value in TELLING.items():
        setattr(image, keyword, value)
    for keyword in unreadable:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        # As text, which nothing keeps a scanner's exporter from writing.
        image.add_new(tag, "LO", TELLING["PatientName"])


def submit(lab: Lab, study: StoredStudy, **changes: object) -> JobName:
    lab.study = study
    return lab.submit(**changes)


def words(lab: Lab) -> list[str]:
    return [*WORDS, lab.orthanc.password.lower()]


def files(lab: Lab) -> list[Path]:
    """All that the run wrote but the images themselves."""
    found = [path for path in lab.folder.rglob("*") if path.is_file()]
    made = lab.folder / "study"
    return [path for path in found if path.suffix != ".dcm" and made not in path.parents]


def command_lines(agent: subprocess.Popen[str]) -> list[str]:
    process = psutil.Process(agent.pid)
    lines = [process.cmdline(), *(child.cmdline() for child in process.children(recursive=True))]
    return [" ".join(line) for line in lines]
