"""The worker process: reads requests from standard input, answers on standard output.

Run as ``python -m lab_side.worker.server`` by the agent. Its log lines are JSON on standard
error, where whatever a library prints goes as well; Python warnings are off, because DICOM
libraries quote values in them.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel

from lab_side.computer.account import complete_environment
from lab_side.log import at_stage, configure_logging, log_context, log_event
from lab_side.models.failures import is_gpu_failure
from lab_side.worker.light_monai import import_monai_lightly
from lab_side.worker.protocol import (
    Call,
    EvaluateReply,
    EvaluateRequest,
    IdentifyReply,
    IdentifyRequest,
    InspectReply,
    InspectRequest,
    LoadReply,
    LoadRequest,
    ReportFile,
    SegmentReply,
    SegmentRequest,
    error_line,
)
from segrelay.dicom.library_messages import in_short
from segrelay.errors import (
    AttemptFailedError,
    FixConfigurationError,
    LimitReachedError,
    SegRelayError,
)
from segrelay.manifest import SegmentMeasurement
from segrelay.system.durable import disk_error, is_disk_failure
from segrelay.system.system_limits import reached_limit

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("segrelay.worker")


def main() -> None:
    """Serve until standard input closes."""
    complete_environment()
    output = _take_standard_output()
    _silence_libraries()
    import_monai_lightly()
    calls: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_calls, args=(calls,), daemon=True).start()
    server = WorkerServer(output)
    while True:
        server.serve(Call.model_validate_json(calls.get()))


class WorkerServer:
    """Answers calls one by one; keeps the models."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        self._models: dict[str, Any] = {}

    def serve(self, call: Call) -> None:
        """Answer one call with progress lines and one last line."""

        def progress(stage: str, fraction: float) -> None:
            at_stage(stage)
            self._write({"id": call.id, "event": "progress", "stage": stage, "fraction": fraction})

        with log_context(call.about):
            self._serve(call, progress)

    def _serve(self, call: Call, progress: Callable[[str, float], None]) -> None:
        try:
            value = self._answer(call, progress)
        except SegRelayError as error:
            self._write(error_line(call.id, error))
        except MemoryError:
            self._write(error_line(call.id, _out_of_memory()))
        except OSError as error:
            self._write(error_line(call.id, _refused(error)))
        except Exception as error:
            self._write(error_line(call.id, _unexpected(error)))
        else:
            self._write({"id": call.id, "event": "done", "value": value.model_dump(mode="json")})

    def _answer(self, call: Call, progress: Callable[[str, float], None]) -> BaseModel:
        request = call.request
        if isinstance(request, LoadRequest):
            return self._load(request)
        if isinstance(request, SegmentRequest):
            return self._segment(request, progress)
        if isinstance(request, EvaluateRequest):
            return self._evaluate(request, progress)
        if isinstance(request, IdentifyRequest):
            return identify_weights(request)
        return inspect_seg(request)

    def _load(self, request: LoadRequest) -> LoadReply:
        from lab_side.imaging.warm_up import warm_up_seg_writer
        from lab_side.models.loaded import load_model

        model = load_model(
            request.folder,
            weights=request.weights,
            sha256=request.sha256,
            device=_device(request.device),
            cpu_engine=request.cpu_engine,
        )
        warm_up_seg_writer()
        self._models[model.profile.name] = model
        return LoadReply(
            profile=model.profile.name,
            model_sha256=model.model_sha256,
            device=model.device_name,
            seconds=model.load_seconds,
            gpu_peak_bytes=_take_gpu_peak(model.device),
            engine_doubt=model.engine_doubt,
        )

    def _segment(
        self, request: SegmentRequest, progress: Callable[[str, float], None]
    ) -> SegmentReply:
        from lab_side.imaging.pipeline import CaseInput, segment_case

        model = self._model(request.profile)
        output = segment_case(
            CaseInput(
                job_key=request.job_key,
                series={role: list(item.files) for role, item in request.series.items()},
                expected_sop_uids={
                    role: item.sop_instance_uids for role, item in request.series.items()
                },
                frames={role: item.frames for role, item in request.series.items()},
                parts={role: item.part for role, item in request.series.items()},
                created_at=request.created_at,
                output=request.output,
                report_output=request.report_output,
                confirmed=request.confirmed,
            ),
            model,
            progress,
        )
        report = None if output.report is None else ReportFile(**vars(output.report))
        peak = _take_gpu_peak(model.device)
        return SegmentReply(**{**vars(output), "report": report, "gpu_peak_bytes": peak})

    def _evaluate(
        self, request: EvaluateRequest, progress: Callable[[str, float], None]
    ) -> EvaluateReply:
        from lab_side.evaluation.scores import evaluate_case

        model = self._model(request.profile)
        return EvaluateReply(segments=evaluate_case(request.case, model, progress, request.montage))

    def _model(self, profile: str) -> Any:
        model = self._models.get(profile)
        if model is None:
            raise FixConfigurationError(
                f"The profile {profile} is not loaded.", code="model-missing"
            )
        return model

    def _write(self, line: dict[str, Any]) -> None:
        self._output.write(json.dumps(line) + "\n")
        self._output.flush()


def _device(wanted: str) -> str:
    """``auto``: the first GPU, else the CPU."""
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _take_gpu_peak(device: torch.device) -> int:
    """The most memory of a GPU that was held since the last call, bytes; 0 for a CPU."""
    import torch

    if device.type != "cuda":
        return 0
    peak = torch.cuda.max_memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def inspect_seg(request: InspectRequest) -> InspectReply:
    """Describe and measure a stored SEG."""
    from lab_side.imaging.write.measure import describe_seg, measure_seg

    described = describe_seg(request.path)
    measurements = measure_seg(request.path)
    report = None
    if request.report_output is not None:
        report = _report_of(request.path, measurements, request.report_output)
    return InspectReply(**vars(described), measurements=measurements, report=report)


def _report_of(
    seg: Path, measurements: Sequence[SegmentMeasurement], path: Path
) -> ReportFile | None:
    """None where the SEG is not one of ours: it then lacks what a report needs."""
    import pydicom

    from lab_side.imaging.write.report import write_report

    try:
        written = write_report(pydicom.dcmread(seg, stop_before_pixels=True), measurements, path)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, StopIteration):
        return None
    return ReportFile(**vars(written))


def identify_weights(request: IdentifyRequest) -> IdentifyReply:
    """Find out what a weights file holds."""
    from lab_side.models.identify import identify

    return IdentifyReply.model_validate(vars(identify(request.path, request.networks)))


def _out_of_memory() -> AttemptFailedError:
    return AttemptFailedError(
        "The computer ran out of memory.",
        code="out-of-memory",
        remedy="Close other programs on the agent's computer; it is tried again automatically.",
    )


def _refused(error: OSError) -> SegRelayError:
    """A full or failing disk fails no attempt; anything else is unexpected."""
    if is_disk_failure(error):
        return disk_error("The worker's disk refused", error)
    return _unexpected(error)


_OWN_PACKAGES = ("segrelay", "lab_side")


def _package_missing(package: str, error: Exception) -> FixConfigurationError:
    is_missing = isinstance(error, ModuleNotFoundError)
    why = "is not installed, or not whole" if is_missing else "cannot be loaded"
    return FixConfigurationError(
        f"The package {package}, which the worker needs, {why}.",
        remedy="Install SegRelay with its extra lab again, into the environment from which "
        "lab-agent runs: pip install '.[lab]' in SegRelay's folder.",
    )


def _unexpected(error: Exception) -> SegRelayError:
    """A bug or a broken library: the frames are logged, the text is not (it may quote data)."""
    limit = reached_limit(error)
    if limit is not None:
        return LimitReachedError(limit.message, remedy=limit.remedy)
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if package and package not in _OWN_PACKAGES:
        return _package_missing(package, error)
    kind, _, where = in_short(error).partition(" < ")
    log_event(logger, logging.ERROR, "unexpected error caught", kind=kind, where=where)
    if "out of memory" in str(error).lower():
        return _out_of_memory()
    if is_gpu_failure(error):
        return AttemptFailedError(
            "The GPU failed in the middle of the work.",
            code="gpu-error",
            remedy="The GPU is tested by itself. If it happens again: look at nvidia-smi and the "
            "driver's messages, restart the computer.",
        )
    return AttemptFailedError(
        f"The worker met an unexpected {type(error).__name__}.",
        code="worker-error",
        remedy="Look for 'unexpected' in the agent's log and report it.",
    )


def _take_standard_output() -> IO[str]:
    """The pipe to the agent; prints go to standard error from now on."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def _silence_libraries() -> None:
    warnings.simplefilter("ignore")
    configure_logging("json")
    logging.getLogger().setLevel(logging.ERROR)
    # pydicom sets the level of its logger when it is imported, highdicom never does.
    logging.getLogger("pydicom").disabled = True
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)


def _read_calls(calls: queue.Queue[str]) -> None:
    # Not sys.stdin, whose encoding the environment chooses: paths may hold any character.
    with open(0, encoding="utf-8", closefd=False) as requests:
        for line in requests:
            calls.put(line)
    # The agent is gone: nobody waits for an answer, and a GPU must not stay occupied.
    os._exit(0)


if __name__ == "__main__":
    main()
