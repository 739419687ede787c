"""This computer: its disk, the models' files, the GPU, and whether the agent runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from lab_side.agent.folders import GIGABYTE
from lab_side.agent.models import load_request, new_worker
from lab_side.agent.reporting.status import HeartbeatStatus, disk_status, heartbeat_status
from lab_side.doctor.finding import Finding, Verdict, failed
from lab_side.model_files import sha256_of
from lab_side.service.backend import backend
from lab_side.settings.config import AgentConfig, ModelConfig
from lab_side.worker.client import WorkerProcess
from segrelay.bucket import Bucket
from segrelay.errors import SegRelayError
from segrelay.profiles import Profile
from segrelay.queue import AgentState, Life
from segrelay.system.durable import disk_errors, write_durably

_PROBE_FILE = ".doctor"

_DOES = {
    Life.RUNNING: "runs",
    Life.STOPPED: "is stopped",
    Life.DEAD: "does not run: its process has ended without a word",
    Life.SILENT: "is silent for longer than its lease: it hangs, or its computer does not run",
}


def examine_computer(config: AgentConfig, *, quick: bool = False) -> Iterator[Finding]:
    """Every check of the computer; ``quick`` leaves out the run of the networks."""
    yield check_disk(config)
    are_there = True
    for model in config.models:
        finding = check_model(config, model)
        are_there &= finding.verdict is not Verdict.FAILED
        yield finding
    if are_there and not quick:
        yield from run_models(config)


def check_disk(config: AgentConfig) -> Finding:
    """Check whether the work folder takes a file, and has room for jobs."""
    check = "disk"
    probe = config.home / _PROBE_FILE
    try:
        with disk_errors("The work folder takes no file"):
            config.home.mkdir(parents=True, exist_ok=True)
            try:
                write_durably(probe, b"doctor")
            finally:
                with contextlib.suppress(OSError):
                    probe.unlink()
        disk = disk_status(config.home, round(config.min_free_gb * GIGABYTE))
    except SegRelayError as error:
        return failed(check, error)
    free, needed = disk.free_bytes / GIGABYTE, disk.watermark_bytes / GIGABYTE
    if disk.is_low:
        return Finding.failure(
            check,
            detail=f"{free:.1f} GB free under {config.work_dir}: no job is claimed below "
            f"{needed:.1f} GB",
            remedy="Free space on this disk, or put work_dir on another one.",
            code="disk-low",
        )
    return Finding.ok(check, f"{free:.1f} GB free under {config.work_dir}")


def check_model(config: AgentConfig, model: ModelConfig) -> Finding:
    """Check whether the weights are there and are those that were meant."""
    check = f"model {model.profile}"
    try:
        (profile,) = config.model_copy(update={"models": (model,)}).load_profiles().values()
        return _check_weights(check, config, model, profile)
    except SegRelayError as error:
        return failed(check, error)


def run_models(config: AgentConfig) -> Iterator[Finding]:
    """A real forward pass of every network, in the worker process."""
    worker = new_worker(config)
    try:
        for model in config.models:
            yield _run(config, worker, model)
    finally:
        worker.close()


def check_agent(bucket: Bucket, config: AgentConfig) -> Finding:
    """Check whether the agent runs, by its heartbeat."""
    from lab_side.agent.health.identity import is_dead

    check = "agent"
    try:
        heartbeat = heartbeat_status(bucket, config.agent_id, is_dead=is_dead)
    except SegRelayError as error:
        return failed(check, error)
    if heartbeat is None:
        return Finding.ok(check, f"{config.agent_id} has never run")
    doing = f": {heartbeat.state}" if heartbeat.life is Life.RUNNING else ""
    why = f" ({heartbeat.reason})" if doing and heartbeat.reason else ""
    detail = f"{config.agent_id} {_DOES[heartbeat.life]}{doing}{why}"
    remedy = _remedy(heartbeat)
    verdict = Verdict.WARNING if remedy else Verdict.OK
    return Finding(check=check, verdict=verdict, detail=detail, remedy=remedy)


def _remedy(heartbeat: HeartbeatStatus) -> str:
    """Return what to do about an agent that does not serve; empty where it does, or was stopped."""
    if heartbeat.life in (Life.DEAD, Life.SILENT):
        return "Start it, or restart it: lab-agent run. Its log says why it ended."
    if heartbeat.life is Life.RUNNING and heartbeat.state == AgentState.PAUSED:
        return "lab-agent resume"
    if heartbeat.life is Life.RUNNING and heartbeat.state == AgentState.WAITING:
        return "It goes on automatically once that is over; lab-agent logs shows more."
    return ""


def check_service(config: AgentConfig) -> Finding:
    """Check whether the agent is a service here, and how that is."""
    check = "service"
    manager = backend(config.service_name)
    if not manager.is_installed():
        return Finding.ok(check, "none is installed")
    state = manager.state()
    if state in ("active", "activating", "inactive"):
        return Finding.ok(check, f"installed, {state}")
    return Finding.warning(
        check,
        detail=f"installed, {state or 'in an unknown state'}",
        remedy=f"See why. {manager.log_hint}; then lab-agent service start",
        code="service-failed",
    )


def _check_weights(
    check: str, config: AgentConfig, model: ModelConfig, profile: Profile
) -> Finding:
    path, expected = model.weights, model.sha256
    if path is None:
        file, expected = profile.weights.file, profile.weights.sha256
        if file is None:
            return Finding.failure(
                check,
                detail="the profile comes without weights, and none are configured",
                remedy="Set weights, and sha256, for this profile under [[models]].",
                code="weights-missing",
            )
        path = config.profile_folder(model.profile) / file
    found = sha256_of(path)
    if expected is None:
        return Finding.warning(
            check,
            f"{path} may be any file: no SHA-256 is configured",
            f'Write down what you mean: sha256 = "{found}"',
        )
    if found != expected:
        return Finding.failure(
            check,
            detail=f"{path} has SHA-256 {found}, not the expected {expected}",
            remedy="Copy the right file again, or write the new SHA-256 where it is configured.",
            code="weights-sha256",
        )
    return Finding.ok(check, f"{path}, SHA-256 {found[:12]}…")


def _run(config: AgentConfig, worker: WorkerProcess, model: ModelConfig) -> Finding:
    check = f"run of {model.profile}"
    began = time.monotonic()
    try:
        reply = worker.load(load_request(config, model))
    except SegRelayError as error:
        return failed(check, error)
    seconds = time.monotonic() - began
    detail = (
        f"loaded and run once on {reply.device} in {reply.seconds:.1f} s, "
        f"{seconds:.1f} s with the start of the worker"
    )
    if reply.device.startswith("cpu") and config.device == "auto":
        return Finding.warning(
            check,
            detail=f"{detail}: no GPU is seen",
            remedy="Install the GPU's driver and a torch build for it (nvidia-smi must list it), "
            'or set device = "cpu" if this is meant.',
            code="device",
        )
    if reply.engine_doubt:
        return Finding.warning(
            check,
            f"{detail}, not by OpenVINO: {reply.engine_doubt}",
            "It runs in PyTorch, slower. If OpenVINO is not installed: pip install "
            "'.[openvino]'; if no network here can use it: set cpu_engine = \"torch\".",
        )
    return Finding.ok(check, detail)
