"""One segmentation by hand: the same stages, without a queue."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from common.body_regions import regions_of, regions_of_body_part
from common.errors import FixConfigurationError, ManifestRejectedError, TransientError
from common.manifest import (
    JobManifest,
    ReportReference,
    SegmentMeasurement,
    SegReference,
    SeriesInput,
    check_against_profile,
    is_orthanc_id,
    schema_for,
    utc_now,
)
from common.orthanc import OrthancClient, new_history
from common.profiles import Profile
from common.queue.lease import UPLOAD
from common.result_notes import region_codes, region_notes
from common.ulid import new_ulid
from common.validation import describe_first_error
from lab_side import __version__
from lab_side.agent.case import Case
from lab_side.agent.deliver import Courier
from lab_side.agent.fetch import fetch
from lab_side.agent.folders import WorkFolders
from lab_side.agent.infer import infer
from lab_side.agent.models import load_model, new_worker
from lab_side.agent.orthanc_gate import OrthancGate
from lab_side.agent.outbox import Outbox, OutboxEntry
from lab_side.config import AgentConfig, ModelConfig, secret_renewal
from lab_side.log import about_job, at_stage

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class ManualResult:
    """What a segmentation by hand gave."""

    seg: SegReference
    report: ReportReference | None
    """Its measurements as a DICOM SR."""
    measurements: tuple[SegmentMeasurement, ...]
    warnings: tuple[str, ...]
    stage_seconds: dict[str, float]
    already_stored: bool
    """Orthanc had this SEG from an earlier run."""

    @property
    def tumour_found(self) -> bool:
        """Whether any segment has a voxel."""
        return any(item.voxels for item in self.measurements)


def segment_by_hand(
    config: AgentConfig,
    model: ModelConfig,
    series_ids: Sequence[str],
    progress: Progress,
    *,
    confirm: bool = False,
) -> ManualResult:
    """Segment four series and store the SEG; ``series_ids`` in the profile's order of inputs.

    ``confirm``: also where their attributes name another body region than the profile's.

    The SEG's UIDs depend on the series, the model and this version only: doing it again
    finds the same SEG in Orthanc.

    Raises
    ------
    ManifestRejectedError
        Wrong number of series, the same one twice, or not Orthanc ids; ``confirmation-needed``:
        they name another region, and ``confirm`` is not given.
    TransientError
        Orthanc is away. Once the SEG exists it is kept in the outbox: see its message.
    PermanentError, AttemptFailedError, FixConfigurationError
    """
    profile = config.load_profiles()[model.profile]
    client = OrthancClient(
        config.orthanc,
        history=new_history(patience=config.patience),
        renew=secret_renewal(config),
    )
    worker = new_worker(config)
    folders = WorkFolders(config.home)
    outbox = Outbox(config.home)
    stack = contextlib.ExitStack()
    try:
        OrthancGate(client).check_at_start(is_patient=False)
        manifest = with_confirmation(
            manifest_by_hand(client, profile, series_ids), client, profile, confirm=confirm
        )
        told = stack.enter_context(_told(manifest, progress))
        told("load", 0.0)
        loaded = load_model(config, worker, model)
        case = Case(
            manifest=manifest,
            profile=profile,
            model_sha256=loaded.model_sha256,
            agent=config.agent_id,
            claim=None,
            folder=folders.new(manifest.job_id, 1),
            job_key=f"by-hand-{__version__}",
        )
        fetch(
            case,
            client,
            progress=lambda done, total: told("fetch", done / max(total, 1)),
            stop=threading.Event(),
        )
        entry = infer(case, worker, outbox, folders, progress=told)
        folders.remove_downloads()
        told(UPLOAD, 0.0)
        return _deliver(Courier(client, outbox, worker, desk=None, now=utc_now), outbox, entry)
    finally:
        stack.close()
        worker.close()
        client.close()


@contextlib.contextmanager
def _told(manifest: JobManifest, progress: Progress) -> Iterator[Progress]:
    """``progress``, which the log follows as well."""

    def tell(stage: str, part: float) -> None:
        at_stage(stage)
        progress(stage, part)

    with about_job(manifest.job_id, 1, "load"):
        yield tell


def manifest_by_hand(
    client: OrthancClient, profile: Profile, series_ids: Sequence[str]
) -> JobManifest:
    """The job that these series make, in the profile's order of inputs.

    Raises
    ------
    ManifestRejectedError
        As :func:`segment_by_hand`.
    """
    if len(series_ids) != len(profile.roles):
        raise ManifestRejectedError(
            f"Profile {profile.name} needs {len(profile.roles)} series, {len(series_ids)} given.",
            code="series-count",
            remedy=f"Give the series in this order: {' '.join(profile.roles)}.",
        )
    for series_id in series_ids:
        if not is_orthanc_id(series_id):
            raise ManifestRejectedError(
                "A series id is not an Orthanc id (five groups of eight hexadecimal digits).",
                code="orthanc-id",
                remedy="Copy the id from Orthanc's page of the series.",
            )
    try:
        manifest = JobManifest(
            job_id=new_ulid(),
            profile=profile.name,
            submitted_at=utc_now(),
            orthanc_study_id=client.series(series_ids[0]).study_id,
            series=tuple(
                SeriesInput(role=role, orthanc_id=series_id)
                for role, series_id in zip(profile.roles, series_ids, strict=True)
            ),
        )
    except ValidationError as error:
        raise ManifestRejectedError(
            f"These series cannot be a job: {describe_first_error(error, JobManifest)}.",
            remedy="Give four different series of one study.",
        ) from None
    check_against_profile(manifest, profile)
    return manifest


def with_confirmation(
    manifest: JobManifest, client: OrthancClient, profile: Profile, *, confirm: bool
) -> JobManifest:
    """The same manifest, which says what was confirmed of its series.

    Raises
    ------
    ManifestRejectedError
        ``confirmation-needed``: attributes name another body region than the profile's, and
        ``confirm`` is not given.
    """
    ids = {item.orthanc_id: item.role for item in manifest.series}
    first = {item.series_id: item.orthanc_id for item in reversed(client.inventory(list(ids)))}
    named = {role: regions_of(client.tags(first[series])) for series, role in ids.items()}
    expected = regions_of_body_part(profile.body_part_examined)
    codes = region_codes(named, expected)
    if codes and not confirm:
        sentences = " ".join(region_notes(named, expected))
        raise ManifestRejectedError(
            f"The series contradict the profile {profile.name}: {sentences}",
            code="confirmation-needed",
            remedy="Look at the series; if they are the right ones all the same, give --confirm.",
        )
    schema = schema_for(manifest.labels, codes)
    return manifest.model_copy(update={"schema_version": schema, "confirmed": codes})


def _deliver(courier: Courier, outbox: Outbox, entry: OutboxEntry) -> ManualResult:
    try:
        with entry.lock():
            delivery = courier.deliver(entry)
    except (TransientError, FixConfigurationError) as error:
        outbox.note_failure(entry, error, None)
        raise type(error)(
            f"{error.message} The SEG is kept in {entry.folder}",
            code=error.code,
            remedy="It is sent by itself by the next `lab-agent run` or `lab-agent once`.",
        ) from None
    if delivery.seg is None:
        raise TransientError("The SEG was delivered by another process meanwhile.")
    return ManualResult(
        seg=delivery.seg,
        report=delivery.report,
        measurements=delivery.measurements,
        warnings=entry.draft.warnings,
        stage_seconds=entry.draft.provenance.stage_seconds,
        already_stored=delivery.already_stored,
    )
