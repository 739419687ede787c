"""One segmentation by hand: the same stages, without a queue."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lab_side import __version__
from lab_side.agent.by_hand.inputs import inputs_of
from lab_side.agent.by_hand.series_ids import check_ids, check_in_orthanc
from lab_side.agent.by_hand.series_order import order_notes, phases_in_order
from lab_side.agent.delivery.deliver import Uploader
from lab_side.agent.delivery.outbox import Outbox, OutboxEntry
from lab_side.agent.fetch import check_series, fetch
from lab_side.agent.folders import WorkFolders
from lab_side.agent.health.orthanc_gate import OrthancGate
from lab_side.agent.infer import infer
from lab_side.agent.job_context import JobContext
from lab_side.agent.models import load_model, new_worker
from lab_side.download.wanted_parts import WantedParts
from lab_side.log import at_stage, job_log_context
from lab_side.settings.config import AgentConfig, ModelConfig
from lab_side.settings.loading import secret_renewal
from lab_side.worker.client import WorkerProcess
from segrelay.dicom.body_regions import regions_of, regions_of_body_part
from segrelay.errors import FixConfigurationError, ManifestRejectedError, TransientError
from segrelay.manifest import (
    JobManifest,
    ReportReference,
    SegmentMeasurement,
    SegReference,
    check_against_profile,
    schema_for,
    utc_now,
)
from segrelay.orthanc import OrthancClient, new_history
from segrelay.parsing.validation import describe_first_error
from segrelay.parts.volume_ids import VolumeId
from segrelay.profiles import Profile
from segrelay.result_notes import region_codes, region_notes
from segrelay.stages import Stage
from segrelay.ulid import new_ulid

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
    """Segment a case and store the SEG.

    ``series_ids``: a series, or a volume of one, for each input of the profile, in its order; or
    fewer, whose volumes are the inputs (see :func:`~lab_side.agent.by_hand.inputs.inputs_of`).

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
    check_weights(config, model, profile)
    check_ids(series_ids, profile.roles)
    client = OrthancClient(
        config.orthanc,
        history=new_history(patience=config.patience),
        renew=secret_renewal(config),
    )
    worker = new_worker(config)
    try:
        OrthancGate(client).check_at_start(is_patient=False)
        manifest = with_confirmation(
            manifest_by_hand(client, profile, series_ids), client, profile, confirm=confirm
        )
        with _logged(manifest, progress) as report:
            return _segment(config, model, manifest, client, worker, report)
    finally:
        worker.close()
        client.close()


def _segment(
    config: AgentConfig,
    model: ModelConfig,
    manifest: JobManifest,
    client: OrthancClient,
    worker: WorkerProcess,
    report: Progress,
) -> ManualResult:
    """Load the model, fetch the series, segment them and deliver the SEG."""
    folders, outbox = WorkFolders(config.home), Outbox(config.home)
    report(Stage.LOAD, 0.0)
    loaded = load_model(config, worker, model)
    job = JobContext(
        manifest=manifest,
        profile=config.load_profiles()[model.profile],
        model_sha256=loaded.model_sha256,
        agent=config.agent_id,
        claim=None,
        folder=folders.new(manifest.job_id, 1),
        job_key=f"by-hand-{__version__}",
    )
    fetch(
        job,
        client,
        progress=lambda done, total: report(Stage.FETCH, done / max(total, 1)),
        stop=threading.Event(),
    )
    entry = infer(job, worker, outbox, folders, progress=report)
    folders.remove_downloads()
    report(Stage.UPLOAD, 0.0)
    return _deliver(Uploader(client, outbox, worker, queue=None, now=utc_now), outbox, entry)


@contextlib.contextmanager
def _logged(manifest: JobManifest, progress: Progress) -> Iterator[Progress]:
    """``progress``, which the log follows as well."""

    def report(stage: str, part: float) -> None:
        at_stage(stage)
        progress(stage, part)

    with job_log_context(manifest.job_id, 1, Stage.LOAD):
        yield report


def manifest_by_hand(
    client: OrthancClient, profile: Profile, series_ids: Sequence[str]
) -> JobManifest:
    """The job that these series make, in the profile's order of inputs.

    Raises
    ------
    ManifestRejectedError
        As :func:`segment_by_hand`.
    """
    check_ids(series_ids, profile.roles)
    check_in_orthanc(client, [text.partition(":")[0] for text in series_ids], profile.roles)
    inputs = inputs_of(client, series_ids, profile.roles)
    found = client.series_list(list(dict.fromkeys(item.orthanc_id for item in inputs)))
    check_series(found, found[0].study_id)
    try:
        manifest = JobManifest(
            job_id=new_ulid(),
            profile=profile.name,
            submitted_at=utc_now(),
            orthanc_study_id=found[0].study_id,
            series=inputs,
            schema_version=schema_for((), has_parts=any(item.part for item in inputs)),
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
        ``confirmation-needed``: attributes name another body region than the profile's, or
        another order of the series, and ``confirm`` is not given.
    """
    tags = _tags_of_first(manifest, client)
    if not confirm:
        _check_order(tags, manifest, profile)
    named = {role: regions_of(found) for role, found in tags.items()}
    expected = regions_of_body_part(profile.body_part_examined)
    codes = region_codes(named, expected)
    if codes and not confirm:
        sentences = " ".join(note.text for note in region_notes(named, expected))
        raise ManifestRejectedError(
            f"The series contradict the profile {profile.name}: {sentences}",
            code="confirmation-needed",
            remedy="Look at the series; if they are the right ones all the same, give --confirm.",
        )
    schema = schema_for(manifest.labels, codes, has_parts=manifest.has_parts)
    return manifest.model_copy(update={"schema_version": schema, "confirmed": codes})


def _tags_of_first(manifest: JobManifest, client: OrthancClient) -> dict[str, Mapping[str, Any]]:
    """The tags of one image of each input, by role."""
    wanted = WantedParts(client, manifest.series)
    instances = {
        series_id: wanted.choose(series_id, client.inventory([series_id]))
        for series_id in dict.fromkeys(item.orthanc_id for item in manifest.series)
    }
    return {
        item.role: client.tags(
            wanted.first_instance(item.role) or instances[item.orthanc_id][0].orthanc_id
        )
        for item in manifest.series
    }


def _check_order(
    tags: Mapping[str, Mapping[str, Any]], manifest: JobManifest, profile: Profile
) -> None:
    notes = order_notes(tags, profile)
    if not notes:
        return
    if _is_in_order_of_one_series(manifest):
        return
    by_role = {
        item.role: str(VolumeId(item.orthanc_id, item.part.index if item.part else None))
        for item in manifest.series
    }
    right = " ".join(by_role[role] for role in phases_in_order(tags, profile))
    raise ManifestRejectedError(
        f"The series are not in the order of the profile {profile.name} "
        f"({', '.join(profile.roles)}): {' '.join(notes)}",
        code="confirmation-needed",
        remedy=(f"In order they are: --series-ids {right}. " if right else "Correct the order. ")
        + "If it is right all the same, give --confirm.",
    )


def _is_in_order_of_one_series(manifest: JobManifest) -> bool:
    """Whether the inputs are volumes of one series in the order of its key.

    The tags of one image each may then still fall by a rounding.
    """
    indices = [item.part.index for item in manifest.series if item.part is not None]
    is_one = len({item.orthanc_id for item in manifest.series}) == 1
    return is_one and bool(indices) and indices == sorted(indices)


def check_weights(config: AgentConfig, model: ModelConfig, profile: Profile) -> None:
    """Check that the file of the weights is there; the worker reads it.

    Raises
    ------
    FixConfigurationError
        ``weights-missing``
    """
    path = model.weights
    if path is None and profile.weights.file is not None:
        path = config.profile_folder(model.profile) / profile.weights.file
    if path is not None and path.is_file():
        return
    what = "comes without weights, and none are configured" if path is None else f"has no {path}"
    raise FixConfigurationError(
        f"The profile {profile.name} {what}.",
        code="weights-missing",
        remedy="Set weights, and sha256, for this profile under [[models]]; lab-agent setup "
        "--weights FILE does so.",
    )


def _deliver(uploader: Uploader, outbox: Outbox, entry: OutboxEntry) -> ManualResult:
    try:
        with entry.lock():
            delivery = uploader.deliver(entry)
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
        warnings=tuple(item.text for item in entry.draft.notices),
        stage_seconds=entry.draft.provenance.stage_seconds,
        already_stored=delivery.already_stored,
    )
