"""From the outbox to the result, against a real Orthanc, broken at every step."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from infra.phantom.case import make_case, scanner_grid
from infra.phantom.dicom import write_study
from infra.servers.orthanc import OrthancServer
from lab_side.agent.delivery.deliver import Delivery, Uploader
from lab_side.agent.delivery.outbox import (
    REPORT_FILE,
    SEG_FILE,
    Draft,
    Outbox,
    OutboxEntry,
    read_entries,
)
from lab_side.imaging.pipeline import CaseInput, CaseOutput, segment_case
from lab_side.imaging.write.measure import measure_seg
from lab_side.imaging.write.report import report_uid
from lab_side.models.loaded import load_model
from lab_side.worker.protocol import InspectReply, InspectRequest, ReportFile
from lab_side.worker.server import inspect_seg
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.errors import (
    LocalDiskError,
    OrthancRefusedError,
    OrthancUnavailableError,
    StoreUnavailableError,
    TransientError,
)
from segrelay.manifest import Provenance, ResultManifest, ResultStatus, SegmentMeasurement
from segrelay.orthanc import OrthancClient, OrthancSettings, UploadReply
from segrelay.queue import AgentQueue, Claim, SiteQueue, scan
from segrelay.ulid import new_ulid
from tests.support.buckets.faulty_bucket import Fault, FaultyBucket, SimulatedCrash
from tests.support.jobs import NOW, make_manifest, make_result
from tests.support.lab.small_disk import ForgetfulOrthanc, fill, put_storage_on
from tests.support.lab.small_disk import small_disk as small_disk
from tests.support.networks.tiny_profile import write_tiny_profile
from tests.support.repetition import one_of

MOST_OPERATIONS = 40
VOLUME = "118565006"
"""SNOMED CT."""


class Inspect:
    """The worker's part, in this process."""

    def inspect(self, request: InspectRequest) -> InspectReply:
        return inspect_seg(request)


@dataclass(frozen=True)
class Made:
    """The files of a job's SEG and report, as the worker leaves them."""

    job_id: str
    folder: Path
    output: CaseOutput
    model_sha256: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    def grid(anatomy):  # type: ignore[no-untyped-def]
        return scanner_grid(anatomy, shape=(12, 32, 36), spacing=(5.0, 5.0, 12.0))

    study = write_study(make_case(8, grid=grid), tmp_path_factory.mktemp("study"))
    model = load_model(write_tiny_profile(tmp_path_factory.mktemp("profiles")), device="cpu")
    job_id, folder = new_ulid(), tmp_path_factory.mktemp("made")
    case = CaseInput(
        job_key=job_id,
        series={f"dce-{n}": list(item.paths) for n, item in enumerate(study.series)},
        expected_sop_uids={},
        created_at=NOW,
        output=folder / SEG_FILE,
        report_output=folder / REPORT_FILE,
    )
    output = segment_case(case, model, lambda _stage, _share: None)
    return Made(job_id, folder, output, model.model_sha256)


@dataclass
class Scene:
    """One job whose SEG waits in the outbox."""

    bucket: LocalBucket
    orthanc: OrthancServer
    client: OrthancClient
    outbox: Outbox
    claim: Claim
    seg: bytes

    def uploader(self, bucket: Bucket | None = None) -> Uploader:
        queue = AgentQueue(bucket or self.bucket, "lab-1", now=lambda: NOW)
        return Uploader(self.client, self.outbox, Inspect(), queue=queue, now=lambda: NOW)

    def entry(self) -> OutboxEntry:
        (entry,) = self.outbox.entries()
        return entry

    def deliver(self, bucket: Bucket | None = None) -> Delivery:
        return self.uploader(bucket).deliver(self.entry())

    def result(self) -> ResultManifest:
        result = AgentQueue(self.bucket, "lab-1", now=lambda: NOW).result(self.claim.job_id)
        assert result is not None
        return result

    def stored(self) -> list[bytes]:
        """The bytes of this SEG in Orthanc: none or one."""
        return self.instances(str(pydicom.dcmread(BytesIO(self.seg)).SOPInstanceUID))

    def reports(self) -> list[bytes]:
        """The bytes of this SEG's report in Orthanc: none or one."""
        return self.instances(report_uid(str(pydicom.dcmread(BytesIO(self.seg)).SOPInstanceUID)))

    def instances(self, uid: str) -> list[bytes]:
        return [self.client.instance_file(item) for item in self.client.find_instance(uid)]

    def places(self) -> list[str]:
        return [
            info.name.split(self.claim.job_id)[0]
            for info in self.bucket.list("v1/")
            if self.claim.job_id in info.name
            and info.name.split("~")[-1] in ("demo.json", "1.json")
        ]

    def altered_seg(self, **attributes: str) -> bytes:
        """The same SEG with other attributes: other bytes under the same UID."""
        dataset = pydicom.dcmread(BytesIO(self.seg))
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        buffer = BytesIO()
        dataset.save_as(buffer)
        return buffer.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[OrthancServer]:
    with OrthancServer() as server:
        yield server


@pytest.fixture
def scene(tmp_path: Path, server: OrthancServer, made: Made) -> Iterator[Scene]:
    with open_scene(tmp_path, server, made) as scene:
        yield scene


@contextlib.contextmanager
def open_scene(folder: Path, server: OrthancServer, made: Made) -> Iterator[Scene]:
    """The job in a queue of its own; Orthanc has nothing of it yet."""
    bucket = LocalBucket(folder / "queue")
    SiteQueue(bucket).submit(make_manifest(made.job_id))
    claim = AgentQueue(bucket, "lab-1", now=lambda: NOW).claim(scan(bucket).pending[0])
    assert claim is not None
    work = shutil.copytree(made.folder, folder / "work")
    seg = (work / SEG_FILE).read_bytes()
    outbox = Outbox(folder / "home")
    outbox.add(work, draft_of(claim, made))
    client = OrthancClient(
        OrthancSettings.model_validate(
            {"url": server.url, "user": server.user, "password": server.password, "retries": 0}
        )
    )
    for uid in (made.output.sop_instance_uid, report_uid(made.output.sop_instance_uid)):
        for left in client.find_instance(uid):
            client.delete_instance(left)
    yield Scene(bucket, server, client, outbox, claim, seg)
    client.close()


def draft_of(claim: Claim, made: Made) -> Draft:
    output = made.output
    return Draft(
        job_id=claim.job_id,
        claim=claim.name.file_name,
        agent="lab-1",
        job_key=claim.job_id,
        sop_instance_uid=output.sop_instance_uid,
        series_instance_uid=output.series_instance_uid,
        sha256=output.sha256,
        size_bytes=output.size_bytes,
        frames=output.frames,
        measurements=output.measurements,
        provenance=Provenance(
            profile="tiny",
            profile_version="1.0.0",
            model_sha256=made.model_sha256,
            device="cpu",
            versions={},
            stage_seconds={},
            series_instance_uids=output.series_instance_uids,
        ),
        warnings=(),
        report=None if output.report is None else ReportFile(**vars(output.report)),
        written_at=NOW,
    )


def volumes_in(report: bytes) -> list[float]:
    """Every volume that a report tells."""
    return [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in items_of(pydicom.dcmread(BytesIO(report)))
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == VOLUME
    ]


def items_of(item: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """All content items below."""
    for inner in item.get("ContentSequence", []):
        yield inner
        yield from items_of(inner)


def assert_delivered(scene: Scene) -> None:
    """I2, I3, I4: one result that names what Orthanc holds; the outbox is empty."""
    result = scene.result()
    assert result.seg is not None
    (stored,) = scene.stored()
    assert hashlib.sha256(stored).hexdigest() == result.seg.sha256
    assert result.report is not None
    (report,) = scene.reports()
    assert hashlib.sha256(report).hexdigest() == result.report.sha256
    assert volumes_in(report) == [item.volume_ml for item in result.measurements]
    assert scene.outbox.entries() == []
    assert scene.places() == [f"{names.DONE}5-"]


def test_a_seg_is_delivered(scene: Scene) -> None:
    delivery = scene.deliver()
    assert not delivery.already_stored
    assert_delivered(scene)
    assert scene.stored() == [scene.seg]


@pytest.mark.parametrize("fault", one_of(Fault, Fault.LOST_ANSWER, Fault.CRASH_AFTER))
def test_i2_i3_i4_whatever_breaks_while_delivering(
    tmp_path: Path,
    server: OrthancServer,
    made: Made,
    fault: Fault,
) -> None:
    for at in range(1, MOST_OPERATIONS):
        with open_scene(tmp_path / str(at), server, made) as scene:
            faulty = FaultyBucket(scene.bucket, at=at, fault=fault)
            with contextlib.suppress(SimulatedCrash, StoreUnavailableError):
                scene.deliver(faulty)
            if scene.outbox.entries():
                scene.deliver()
            assert_delivered(scene)
            if faulty.operations < at:
                assert at > 4
                return
    raise AssertionError("the delivery never ran through")


def test_i2_a_seg_that_orthanc_has_written_in_part_is_no_result(
    tmp_path: Path, small_disk: Path, made: Made
) -> None:
    """Its disk is full at the last page of the file: it answers *Success* all the same."""
    with (
        ForgetfulOrthanc() as server,
        open_scene(tmp_path / "scene", server, made) as scene,
    ):
        put_storage_on(server, small_disk)
        filler = fill(small_disk, (len(scene.seg) - 1) // mmap.PAGESIZE)
        with pytest.raises(OrthancUnavailableError, match="not what Orthanc says it holds"):
            scene.deliver()
        assert scene.entry().seg_path.read_bytes() == scene.seg
        filler.unlink()
        with contextlib.suppress(OrthancUnavailableError):
            scene.deliver()
        server.kill()
        server.start()
        if scene.outbox.entries():
            with pytest.raises(OrthancUnavailableError) as caught:
                scene.deliver()
            assert "remove it there" in caught.value.remedy
            assert scene.entry().seg_path.read_bytes() == scene.seg
            sop_uid = str(pydicom.dcmread(BytesIO(scene.seg)).SOPInstanceUID)
            for damaged in scene.client.find_instance(sop_uid):
                scene.client.delete_instance(damaged)
            scene.deliver()
        assert_delivered(scene)


def test_the_same_bytes_stored_already_are_recognised(scene: Scene) -> None:
    scene.client.upload(scene.seg)
    assert scene.deliver().already_stored
    assert_delivered(scene)


def test_i3_the_first_stored_seg_of_the_job_wins_and_is_measured(scene: Scene) -> None:
    first = scene.altered_seg(ContentLabel="FIRST")
    scene.client.upload(first)
    wrong = (SegmentMeasurement(number=1, label="Tumor", voxels=1, volume_ml=9.0),)
    claimed = scene.entry()
    draft = claimed.draft.model_copy(update={"measurements": wrong})
    delivery = scene.uploader().deliver(OutboxEntry(folder=claimed.folder, draft=draft))
    assert_delivered(scene)
    assert scene.stored() == [first]
    path = scene.outbox._folder / "first.dcm"
    path.write_bytes(first)
    assert delivery.measurements == scene.result().measurements == measure_seg(path)
    assert delivery.measurements != wrong


def test_a_disk_that_refuses_the_first_stored_seg_is_waited_for(scene: Scene) -> None:
    scene.client.upload(scene.altered_seg(ContentLabel="FIRST"))
    in_the_way = scene.entry().folder / "stored.dcm"
    in_the_way.mkdir()
    with pytest.raises(LocalDiskError):
        scene.deliver()
    in_the_way.rmdir()
    scene.deliver()
    assert_delivered(scene)


def test_foreign_bytes_under_the_same_uid_are_an_error_and_the_seg_is_kept(scene: Scene) -> None:
    dataset = pydicom.dcmread(BytesIO(scene.seg))
    for segment in dataset.SegmentSequence:
        for algorithm in segment.SegmentationAlgorithmIdentificationSequence:
            algorithm.AlgorithmParameters = "job_id=somebody else's"
    buffer = BytesIO()
    dataset.save_as(buffer)
    scene.client.upload(buffer.getvalue())
    delivery = scene.deliver()
    result = scene.result()
    assert (delivery.seg, result.status) == (None, ResultStatus.FAILED)
    assert result.failure is not None
    assert result.failure.code == "orthanc-foreign-instance"
    kept = scene.outbox._refused / scene.claim.job_id / SEG_FILE
    assert kept.read_bytes() == scene.seg
    assert scene.places() == [f"{names.FAILED}5-"]


@pytest.mark.parametrize("fault", one_of(Fault, Fault.CRASH_AFTER))
def test_i1_i4_whatever_breaks_while_a_seg_is_refused(
    tmp_path: Path,
    server: OrthancServer,
    made: Made,
    fault: Fault,
) -> None:
    """One failed result with the reason; the SEG is with a person, however often it dies."""
    for at in range(1, MOST_OPERATIONS):
        with open_scene(tmp_path / str(at), server, made) as scene:
            scene.entry().seg_path.write_bytes(b"damaged")
            faulty = FaultyBucket(scene.bucket, at=at, fault=fault)
            with contextlib.suppress(SimulatedCrash, StoreUnavailableError):
                scene.deliver(faulty)
            if scene.outbox.entries():
                scene.deliver()
            failure = scene.result().failure
            assert failure is not None
            assert failure.code == "seg-damaged"
            assert scene.places() == [f"{names.FAILED}5-"]
            assert scene.outbox.entries() == []
            (kept,) = read_entries(scene.outbox._refused)
            assert kept.refusal is not None
            assert kept.refusal.code == "seg-damaged"
            if faulty.operations < at:
                assert at > 3
                return
    raise AssertionError("the refusal never ran through")


def test_a_result_that_nobody_can_read_ends_the_job_and_keeps_the_seg(scene: Scene) -> None:
    scene.bucket.create(names.result_object(scene.claim.job_id), b"{}")
    scene.deliver()
    assert scene.places() == [f"{names.FAILED}5-"]
    (kept,) = read_entries(scene.outbox._refused)
    assert kept.seg_path.read_bytes() == scene.seg
    assert kept.refusal is not None
    assert kept.refusal.remedy


def test_a_report_that_orthanc_refuses_is_left_out_and_the_result_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = scene.client.upload

    def refuse_reports(data: bytes) -> UploadReply:
        if data != scene.seg:
            raise OrthancRefusedError("Orthanc stores no SR.")
        return upload(data)

    monkeypatch.setattr(scene.client, "upload", refuse_reports)
    delivery = scene.deliver()
    result = scene.result()
    assert (result.status, result.report) == (ResultStatus.SUCCEEDED, None)
    assert result.warnings[-1] == "The measurement report was not stored: Orthanc stores no SR."
    assert (delivery.seg, delivery.report) == (result.seg, None)
    assert scene.reports() == []


def test_a_report_that_cannot_be_stored_now_is_waited_for_and_the_seg_is_not_sent_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = scene.client.upload

    def away_for_reports(data: bytes) -> UploadReply:
        if data != scene.seg:
            raise OrthancUnavailableError("Orthanc is away.")
        return upload(data)

    with monkeypatch.context() as bent:
        bent.setattr(scene.client, "upload", away_for_reports)
        with pytest.raises(OrthancUnavailableError):
            scene.deliver()
    assert scene.places() == [f"{names.CLAIMED}lab-1/5-"]
    assert scene.stored() == [scene.seg]
    assert scene.deliver().already_stored
    assert_delivered(scene)


def test_a_damaged_report_is_never_sent(scene: Scene) -> None:
    (scene.entry().folder / REPORT_FILE).write_bytes(b"damaged")
    scene.deliver()
    result = scene.result()
    assert (result.status, result.report) == (ResultStatus.SUCCEEDED, None)
    assert "damaged" in result.warnings[-1]
    assert scene.reports() == []


def test_the_first_stored_report_of_the_seg_stands(scene: Scene) -> None:
    first = pydicom.dcmread(scene.entry().folder / REPORT_FILE)
    first.SeriesDescription = "of another version"
    buffer = BytesIO()
    first.save_as(buffer)
    scene.client.upload(buffer.getvalue())
    scene.deliver()
    assert_delivered(scene)
    assert scene.reports() == [buffer.getvalue()]


def test_a_foreign_instance_under_the_reports_uid_is_not_named(scene: Scene) -> None:
    foreign = pydicom.dcmread(scene.entry().folder / REPORT_FILE)
    del foreign.ContentSequence
    del foreign.CurrentRequestedProcedureEvidenceSequence
    buffer = BytesIO()
    foreign.save_as(buffer)
    scene.client.upload(buffer.getvalue())
    scene.deliver()
    assert scene.result().report is None
    assert "foreign" in scene.result().warnings[-1]


def test_a_job_cancelled_before_the_upload_stores_nothing(scene: Scene) -> None:
    SiteQueue(scene.bucket).cancel(scene.claim.job_id, now=NOW)
    scene.deliver()
    assert scene.stored() == scene.reports() == []
    assert scene.outbox.entries() == []
    assert scene.places() == [f"{names.DONE}5-"]


def test_a_job_cancelled_between_upload_and_result_loses_its_seg_again(scene: Scene) -> None:
    uploader = scene.uploader()
    publish = uploader._publish

    def cancel_then_publish(*arguments: object) -> ResultManifest | None:
        SiteQueue(scene.bucket).cancel(scene.claim.job_id, now=NOW)
        return publish(*arguments)  # type: ignore[arg-type]

    uploader._publish = cancel_then_publish  # type: ignore[method-assign,assignment]
    uploader.deliver(scene.entry())
    assert scene.result().status is ResultStatus.CANCELLED
    assert scene.stored() == scene.reports() == []
    assert scene.outbox.entries() == []


def test_another_agents_result_with_another_seg_stands_alone(scene: Scene) -> None:
    scene.client.upload(scene.seg)
    other = make_result(scene.claim.job_id, "lab-2")
    AgentQueue(scene.bucket, "lab-2", now=lambda: NOW).finish(scene.claim, other)
    scene.deliver()
    assert scene.result() == other
    assert scene.stored() == []


def test_i4_orthanc_away_leaves_everything_as_it_is(scene: Scene) -> None:
    scene.orthanc.kill()
    try:
        with pytest.raises(TransientError):
            scene.deliver()
        assert scene.entry().seg_path.read_bytes() == scene.seg
        assert scene.places() == [f"{names.CLAIMED}lab-1/5-"]
    finally:
        scene.orthanc.start()
    scene.deliver()
    assert_delivered(scene)


def test_i2_other_bytes_read_back_publish_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call, answer in (("instance_md5", "0" * 32), ("instance_file", scene.seg[:-1])):
        with monkeypatch.context() as bent:
            bent.setattr(scene.client, call, lambda _orthanc_id, answer=answer: answer)
            with pytest.raises(OrthancUnavailableError):
                scene.deliver()
        assert scene.places() == [f"{names.CLAIMED}lab-1/5-"]
        for stored in scene.client.find_instance(scene.entry().draft.sop_instance_uid):
            scene.client.delete_instance(stored)
    scene.deliver()
    assert_delivered(scene)


def test_a_seg_deleted_before_it_is_read_back_is_sent_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = scene.client.upload

    def upload_then_delete(data: bytes) -> UploadReply:
        reply = upload(data)
        scene.client.delete_instance(reply.orthanc_id)
        return reply

    with monkeypatch.context() as bent:
        bent.setattr(scene.client, "upload", upload_then_delete)
        with pytest.raises(OrthancUnavailableError, match="deleted"):
            scene.deliver()
    scene.deliver()
    assert_delivered(scene)


def test_a_damaged_seg_is_never_sent(scene: Scene) -> None:
    scene.entry().seg_path.write_bytes(scene.seg[:-10] + b"0123456789")
    scene.deliver()
    failure = scene.result().failure
    assert failure is not None
    assert failure.code == "seg-damaged"
    assert scene.stored() == []


def test_a_later_claim_delivers_what_an_earlier_one_made(scene: Scene, tmp_path: Path) -> None:
    queue = AgentQueue(scene.bucket, "lab-1", now=lambda: NOW)
    queue.hand_back(scene.claim, TransientError("x"), started=True, wait=timedelta(0))
    again = queue.claim(scan(scene.bucket).pending[0])
    assert again is not None
    entry = scene.outbox.reassign(scene.entry(), again)
    scene.uploader().deliver(entry)
    assert scene.result().attempt == 2
    assert scene.bucket.list(names.CLAIMED) == []
    shutil.rmtree(tmp_path / "home")


def test_an_orthanc_that_transcodes_at_arrival_keeps_one_seg(tmp_path: Path, made: Made) -> None:
    settings = {"IngestTranscoding": "1.2.840.10008.1.2"}
    with OrthancServer(settings=settings) as server, open_scene(tmp_path, server, made) as scene:
        for _ in ("the SEG", "the report"):
            with pytest.raises(OrthancUnavailableError, match="other bytes"):
                scene.deliver()
        scene.deliver()
        (stored,) = scene.stored()
        assert (
            pydicom.dcmread(BytesIO(stored)).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        )
        seg = scene.result().seg
        assert seg is not None
        assert (seg.size_bytes, seg.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
        assert len(scene.reports()) == 1
