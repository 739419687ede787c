"""The agent's side of the worker, against small stand-ins for the worker process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab_side.worker import client
from lab_side.worker.client import WorkerProcess
from lab_side.worker.protocol import InspectRequest, LoadRequest, error_from_line, error_line
from segrelay.errors import AttemptFailedError, FixConfigurationError, SeriesRefusedError

StandIn = Callable[[str], WorkerProcess]

REQUEST = InspectRequest(path=Path("/seg.dcm"))
REPLY = (
    '{"sop_instance_uid": "1.2", "series_instance_uid": "1.3", "job_key": "", "frames": 1,'
    ' "measurements": []}'
)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Let the worker be a script that answers as the test says."""

    def use(body: str) -> WorkerProcess:
        script = tmp_path / "worker.py"
        script.write_text(
            "import json, sys, time, os\n"
            "def say(**line): print(json.dumps(line), flush=True)\n"
            "for text in sys.stdin:\n"
            "    call = json.loads(text); n = call['id']; op = call['request']['op']\n"
            + "".join(f"    {line}\n" for line in body.splitlines())
        )
        monkeypatch.setattr(client, "COMMAND", (sys.executable, str(script)))
        return WorkerProcess(hang_seconds=3, most_bytes=10**12)

    return use


@pytest.mark.process
def test_progress_then_the_answer(stand_in: StandIn) -> None:
    worker = stand_in(
        "say(id=n, event='progress', stage='read', fraction=0.5)\n"
        f"say(id=n, event='done', value=json.loads('''{REPLY}'''))"
    )
    assert worker.inspect(REQUEST).sop_instance_uid == "1.2"
    worker.close()


def test_errors_keep_their_class_code_and_remedy() -> None:
    error = SeriesRefusedError("gap", code="missing-slice", remedy="send it again")
    back = error_from_line(error_line(1, error))
    assert type(back) is SeriesRefusedError
    assert (back.message, back.code, back.remedy) == ("gap", "missing-slice", "send it again")


@pytest.mark.parametrize("kind", ["RuntimeError", "SystemExit", "annotations", "__doc__", "x"])
def test_an_unknown_kind_of_error_is_a_failed_attempt(kind: str) -> None:
    line = {**error_line(1, FixConfigurationError("m")), "kind": kind}
    assert type(error_from_line(line)) is AttemptFailedError


@pytest.mark.process
def test_a_worker_that_dies_is_a_failed_attempt_and_the_next_call_starts_another(
    stand_in: StandIn,
) -> None:
    worker = stand_in("os._exit(9)")
    for _ in range(2):
        with pytest.raises(AttemptFailedError) as caught:
            worker.inspect(REQUEST)
        assert caught.value.code == "worker-died"
    worker.close()


@pytest.mark.process
def test_a_worker_that_hangs_is_killed(stand_in: StandIn) -> None:
    worker = stand_in("time.sleep(600)")
    worker._hang_seconds = 0.3
    with pytest.raises(AttemptFailedError) as caught:
        worker.inspect(REQUEST)
    assert caught.value.code == "worker-hung"
    worker.close()


@pytest.mark.process
def test_a_worker_killed_on_purpose_says_so(stand_in: StandIn) -> None:
    worker = stand_in("say(id=n, event='progress', stage='x', fraction=0)\ntime.sleep(600)")
    worker._hang_seconds = 60
    killer = threading.Timer(0.5, worker.kill)
    killer.start()
    with pytest.raises(AttemptFailedError) as caught:
        worker.inspect(REQUEST)
    assert caught.value.code == "worker-stopped"
    killer.join()
    worker.close()


@pytest.mark.process
def test_models_are_loaded_again_after_a_death(stand_in: StandIn, tmp_path: Path) -> None:
    log = tmp_path / "ops"
    worker = stand_in(
        f"open({str(log)!r}, 'a').write(op + ' ')\n"
        "say(id=n, event='done', value={'profile': 'p', 'model_sha256': '0' * 64,"
        " 'device': 'cpu', 'seconds': 0.1}) if op == 'load' else os._exit(1)"
    )
    worker.load(LoadRequest(folder=tmp_path, weights=None, sha256=None, device="cpu"))
    for _ in range(2):
        with pytest.raises(AttemptFailedError):
            worker.inspect(REQUEST)
    assert log.read_text().split() == ["load", "inspect", "load", "inspect"]
    worker.close()


@pytest.mark.parametrize("changed", ["weights", "profile.json"])
@pytest.mark.process
def test_a_model_that_was_changed_meanwhile_is_not_served_silently(
    stand_in: StandIn, tmp_path: Path, changed: str
) -> None:
    (tmp_path / "weights").write_text("1")
    (tmp_path / "profile.json").write_text("1")
    worker = stand_in(
        f"sha = open({str(tmp_path / 'weights')!r}).read() * 64\n"
        "say(id=n, event='done', value={'profile': 'p', 'model_sha256': sha,"
        " 'device': 'cpu', 'seconds': 0.1}) if op == 'load' else os._exit(1)"
    )
    worker.load(LoadRequest(folder=tmp_path, weights=None, sha256=None, device="cpu"))
    with pytest.raises(AttemptFailedError):
        worker.inspect(REQUEST)
    (tmp_path / changed).write_text("2")
    for _ in range(2):
        with pytest.raises(FixConfigurationError) as caught:
            worker.inspect(REQUEST)
        assert caught.value.code == "model-changed"
        assert worker.pid is None
    (tmp_path / changed).write_text("1")
    with pytest.raises(AttemptFailedError):
        worker.inspect(REQUEST)
    worker.close()


@pytest.mark.process
def test_a_released_worker_gives_all_back_and_is_made_ready_again(
    stand_in: StandIn, tmp_path: Path
) -> None:
    """The second time the GPU is still full: no worker that lacks a model is left."""
    worker = stand_in(
        f"first = not os.path.exists({str(tmp_path / 'full')!r})\n"
        "say(id=n, event='done', value={'profile': 'p', 'model_sha256': '0' * 64,"
        " 'device': 'cpu', 'seconds': 0.1}) if first else say(id=n, event='error',"
        " kind='AttemptFailedError', code='out-of-memory', message='full', remedy='')"
    )
    worker.load(LoadRequest(folder=tmp_path, weights=None, sha256=None, device="cpu"))
    assert worker.pid is not None
    worker.release()
    assert worker.pid is None
    (tmp_path / "full").touch()
    for _ in range(2):
        with pytest.raises(AttemptFailedError) as caught:
            worker.make_ready()
        assert caught.value.code == "out-of-memory"
        assert worker.pid is None
    (tmp_path / "full").unlink()
    worker.make_ready()
    assert worker.pid is not None
    worker.close()


LOADED = (
    "say(id=n, event='done', value={'profile': 'p', 'model_sha256': '0' * 64,"
    " 'device': 'cpu', 'seconds': 0.1})"
)


@pytest.mark.process
def test_a_renewed_worker_is_another_process_with_the_same_models(
    stand_in: StandIn, tmp_path: Path
) -> None:
    log = tmp_path / "ops"
    worker = stand_in(f"open({str(log)!r}, 'a').write(op + ' ')\n{LOADED}")
    worker.load(LoadRequest(folder=tmp_path, weights=None, sha256=None, device="cpu"))
    before = worker.pid
    worker.renew()
    assert worker.pid not in (None, before)
    assert log.read_text().split() == ["load", "load"]
    worker.close()


@pytest.mark.parametrize("code", client.BREAKING)
@pytest.mark.process
def test_after_an_error_that_may_have_broken_it_the_worker_is_another_one(
    stand_in: StandIn, code: str
) -> None:
    worker = stand_in(
        f"say(id=n, event='error', kind='AttemptFailedError', code={code!r}, message='m',"
        " remedy='')"
    )
    with pytest.raises(AttemptFailedError):
        worker.inspect(REQUEST)
    assert worker.pid is None


@pytest.mark.process
def test_a_worker_that_takes_too_much_memory_is_killed(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it tells of progress all the time."""
    monkeypatch.setattr(client, "LOOK_EVERY", 0.05)
    worker = stand_in(
        "held = bytearray(64 * 2**20)\n"
        "while True:\n"
        "    say(id=n, event='progress', stage='infer', fraction=0.5)\n"
        "    time.sleep(0.01)"
    )
    worker._most_bytes = 48 * 2**20
    with pytest.raises(AttemptFailedError) as caught:
        worker.inspect(REQUEST)
    assert caught.value.code == "worker-memory"
    assert worker.pid is None


@pytest.mark.process
def test_a_worker_that_holds_much_memory_is_started_anew_between_two_calls(
    stand_in: StandIn,
) -> None:
    worker = stand_in(f"say(id=n, event='done', value=json.loads('''{REPLY}'''))")
    worker._most_bytes = 4 * 10**9
    worker.inspect(REQUEST)
    assert worker.pid is not None
    size = worker.size_bytes
    worker._most_bytes = int(size / client.IDLE_SHARE * 0.9)
    assert size < worker._most_bytes
    worker.inspect(REQUEST)
    assert worker.pid is None


@pytest.mark.process
def test_the_worker_does_not_get_the_password(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGRELAY_ORTHANC_PASSWORD", "s3cret")
    worker = stand_in(
        "found = [k for k, v in os.environ.items() if v == 's3cret']\n"
        "say(id=n, event='error', kind='SeriesRefusedError', code='c', message=str(found),"
        " remedy='')"
    )
    with pytest.raises(SeriesRefusedError) as caught:
        worker.inspect(REQUEST)
    assert caught.value.message == "[]"
    worker.close()
