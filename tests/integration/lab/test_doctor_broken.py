"""``lab-agent doctor`` on broken set-ups: each names cause and remedy, and no secret."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from keyring.backends import null

from infra.fake_gcs import FakeGcs
from infra.servers.certificates import Authority
from infra.servers.orthanc import OrthancServer
from infra.servers.ports import free_port
from lab_side import cli
from lab_side.commands import console, doctor
from lab_side.doctor import orthanc as orthanc_checks
from lab_side.doctor import rights
from lab_side.doctor.orthanc import check_overwriting
from lab_side.service import systemd
from lab_side.settings.config import SERVICE_NAME
from lab_side.settings.secrets import EVERY_SECRET, FOLDER_VARIABLE
from lab_side.settings.sources import VARIABLES
from segrelay.bucket import Bucket
from segrelay.bucket.local import LocalBucket
from segrelay.manifest import utc_now
from tests.support.buckets.gcs import BUCKET, make_bucket
from tests.support.buckets.gcs_rights import Clause, Grant, GuardedGcs
from tests.support.lab.fast_lab import store_small_study
from tests.support.lab.keyrings import keyring_replaced
from tests.support.servers.answering_orthanc import PASSWORD, STORED, USER, AnsweringOrthanc
from tests.support.servers.orthanc import orthanc as orthanc
from tests.support.servers.serving import serving

PREFIX = "queue"
SECRETS = (PASSWORD, "hunter3-in-a-file", "hunter4-of-a-proxy")
PERMISSIONS = ("list", "create", "get", "move", "update", "delete")
HEALTHY = {
    "configuration",
    "emulator variable",
    "queue reached",
    "right to claim",
    "clock of the queue",
    "self-test",
    "way to Orthanc",
    "Orthanc answers",
    "clock of Orthanc",
    "overwriting in Orthanc",
    "reading from Orthanc",
    "line to Orthanc",
    "disk",
    "model demo",
    "run of demo",
    "service",
    "agent",
}


@dataclass
class Setup:
    """An agent's computer; healthy until a test breaks it."""

    folder: Path
    patch: pytest.MonkeyPatch
    stack: contextlib.ExitStack
    capture: pytest.CaptureFixture[str]
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the file; those of Orthanc under ``orthanc.``, those of the model under ``model.``."""
    server: AnsweringOrthanc = field(default_factory=AnsweringOrthanc)
    extra: str = ""
    options: tuple[str, ...] = ()
    text_options: tuple[str, ...] = ()
    """Of the text only."""

    def serve(self, **tls: Any) -> None:
        """Let Orthanc answer; ``tls``: over TLS, as :meth:`Authority.issue` takes it."""
        context = None
        if tls:
            authority = Authority(self.folder, "authority")
            self.settings.setdefault("orthanc.ca_file", str(authority.certificate))
            context = authority.issue("server", **tls).server_context()
        self.settings["orthanc.url"] = self.stack.enter_context(serving(self.server, context))

    def guard(self, *missing: str) -> None:
        """Put the queue into a bucket whose account lacks some permissions."""
        everything = Clause("", on_listing=False, starts="projects/_/buckets/", equals=None)
        held = [p for p in PERMISSIONS if p not in missing]
        grant = Grant(frozenset(f"storage.objects.{p}" for p in held), (everything,))
        cloud = self.stack.enter_context(GuardedGcs({"agent": [grant]}))
        self.use(f"gs://{BUCKET}/{PREFIX}", cloud.bucket("agent", PREFIX))

    def use(self, address: str, bucket: Bucket) -> None:
        self.settings["bucket"] = address
        self.patch.setattr(doctor, "open_bucket", lambda _address: bucket)

    def write_file(self) -> Path:
        lines: dict[str, list[str]] = {"": [], "orthanc": [], "model": []}
        for key, value in self.settings.items():
            section, _, name = key.rpartition(".")
            lines[section].append(f"{name} = {json.dumps(value)}")
        text = "\n".join(
            [*lines[""], "[orthanc]", *lines["orthanc"], "[[models]]", *lines["model"], self.extra]
        )
        file = self.folder / "agent.toml"
        file.write_text(text)
        return file

    def ask(self) -> tuple[int, dict[str, dict[str, Any]], str]:
        """Exit code, findings by check, and everything that was said."""
        file = self.write_file()
        said = ""
        for form in (self.text_options, ("--json",)):
            code = cli.run(["--config", str(file), "doctor", *self.options, *form])
            captured = self.capture.readouterr()
            said += captured.out + captured.err
        findings = json.loads(captured.out)["findings"]
        return code, {item["check"]: item for item in findings}, said


@pytest.fixture(autouse=True)
def _no_keyring() -> Iterator[None]:
    """Whatever another test of this process has put there."""
    with keyring_replaced(null.Keyring()):  # type: ignore[no-untyped-call]
        yield


@pytest.fixture
def setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Setup]:
    for variable in [*VARIABLES, "SEGRELAY_PROFILES", "STORAGE_EMULATOR_HOST"]:
        monkeypatch.delenv(variable, raising=False)
    for places in EVERY_SECRET:
        monkeypatch.delenv(places.variable, raising=False)
    for variable in (FOLDER_VARIABLE, "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("SEGRELAY_ORTHANC_PASSWORD", PASSWORD)
    monkeypatch.setattr(orthanc_checks, "TIMEOUT_S", 3.0)
    monkeypatch.setattr(systemd, "UNIT_FOLDER", tmp_path / "units")
    worker = (sys.executable, "-m", "tests.support.lab.fast_worker")
    monkeypatch.setattr("lab_side.worker.client.COMMAND", worker)
    with contextlib.ExitStack() as stack:
        made = Setup(tmp_path, monkeypatch, stack, capsys)
        (tmp_path / "queue").mkdir()
        made.settings |= {
            "bucket": (tmp_path / "queue").as_uri(),
            "agent_id": "lab-1",
            "work_dir": str(tmp_path / "work"),
            "device": "cpu",
            "min_free_gb": 0,
            "orthanc.user": USER,
            "model.profile": "demo",
        }
        yield made


def test_a_healthy_set_up_passes_and_nothing_is_left(setup: Setup) -> None:
    setup.serve()
    setup.options = ("--write",)
    code, found, said = setup.ask()
    assert code == console.EXIT_OK, said
    assert {item["verdict"] for item in found.values()} == {"OK"}, said
    assert set(found) >= {*HEALTHY, "writing to Orthanc"}
    assert LocalBucket(setup.folder / "queue").list("") == []
    assert list((setup.folder / "work" / "lab-1").iterdir()) == []
    assert setup.server.stored == {}


def test_quick_runs_no_model(setup: Setup) -> None:
    setup.serve()
    setup.options = ("--quick",)
    _, found, _ = setup.ask()
    assert HEALTHY - set(found) == {"run of demo"}


def test_a_real_orthanc_passes(setup: Setup, orthanc: OrthancServer) -> None:
    """Version 1.10.1 does not tell whether it overwrites; ``--write`` finds out."""
    store_small_study(orthanc, setup.folder / "study")
    setup.settings |= {"orthanc.url": orthanc.url, "orthanc.user": orthanc.user}
    setup.patch.setenv("SEGRELAY_ORTHANC_PASSWORD", orthanc.password)
    setup.options = ("--write",)
    code, found, said = setup.ask()
    assert code == console.EXIT_OK, said
    assert "not overwritten" in found["writing to Orthanc"]["detail"]
    assert found["reading from Orthanc"]["detail"].startswith("a series was listed")
    assert "reports no time" in found["clock of Orthanc"]["detail"], "a server before it does"
    query = {"Level": "Patient", "Query": {"PatientID": "SEGRELAY-DOCTOR"}}
    with orthanc.session() as session:
        assert session.post(f"{orthanc.url}/tools/find", json=query).json() == []


def wrong_password(setup: Setup) -> None:
    setup.patch.setenv("SEGRELAY_ORTHANC_PASSWORD", SECRETS[1])
    setup.serve()


def no_password(setup: Setup) -> None:
    setup.patch.delenv("SEGRELAY_ORTHANC_PASSWORD")
    setup.serve()


def open_secret_file(setup: Setup) -> None:
    setup.patch.delenv("SEGRELAY_ORTHANC_PASSWORD")
    setup.patch.setenv(FOLDER_VARIABLE, str(setup.folder))
    file = setup.folder / "orthanc-password"
    file.write_text(SECRETS[1])
    file.chmod(0o644)
    setup.serve()


def secret_in_the_file(setup: Setup) -> None:
    setup.serve()
    setup.settings["orthanc.password"] = SECRETS[1]


def torn_file(setup: Setup) -> None:
    setup.serve()
    setup.extra = "[orthanc"


def misspelt_setting(setup: Setup) -> None:
    setup.serve()
    setup.settings["min_free_bg"] = 2


def plain_http(setup: Setup) -> None:
    setup.settings["orthanc.url"] = "http://orthanc.example.org"


def expired_certificate(setup: Setup) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    setup.serve(start=start, end=start + timedelta(days=30))


def certificate_that_ends_soon(setup: Setup) -> None:
    setup.serve(end=datetime.now(UTC) + timedelta(days=5))


def unknown_authority(setup: Setup) -> None:
    stranger = Authority(setup.folder, "stranger")
    setup.settings["orthanc.ca_file"] = str(stranger.certificate)
    setup.serve(hosts=("localhost", "127.0.0.1"))


def certificate_for_another_name(setup: Setup) -> None:
    setup.serve(hosts=("orthanc.example.org",))


def port_closed(setup: Setup) -> None:
    setup.settings["orthanc.url"] = f"http://127.0.0.1:{free_port()}"


def not_an_orthanc(setup: Setup) -> None:
    setup.server.is_orthanc = False
    setup.serve()


def reading_forbidden(setup: Setup) -> None:
    setup.server.forbids = ("POST",)
    setup.serve()


def overwriting_on(setup: Setup) -> None:
    setup.server.overwrites = True
    setup.serve()


def overwriting_in_secret(setup: Setup) -> None:
    setup.server.overwrites, setup.server.really_overwrites = None, True
    setup.options = ("--write",)
    setup.serve()


def what_is_stored_is_altered(setup: Setup) -> None:
    setup.server.alters = True
    setup.options = ("--write",)
    setup.serve()


def deleting_forbidden(setup: Setup) -> None:
    setup.server.forbids = ("DELETE",)
    setup.options = ("--write",)
    setup.serve()


def slow_line(setup: Setup) -> None:
    setup.server.pause_s = 0.5
    setup.serve()


def clock_off_by_a_day(setup: Setup) -> None:
    for module in (orthanc_checks, rights):
        setup.patch.setattr(module, "utc_now", lambda: utc_now() + timedelta(days=1))
    setup.serve()


def work_folder_is_a_file(setup: Setup) -> None:
    (setup.folder / "work").write_text("")
    setup.serve()


def full_disk(setup: Setup) -> None:
    setup.settings["min_free_gb"] = 1e9
    setup.serve()


def wrong_weights(setup: Setup) -> None:
    (setup.folder / "best.pth").write_bytes(b"others")
    setup.settings |= {"model.weights": str(setup.folder / "best.pth"), "model.sha256": "0" * 64}
    setup.serve()


def weights_without_a_hash(setup: Setup) -> None:
    (setup.folder / "best.pth").write_bytes(b"mine")
    setup.settings["model.weights"] = str(setup.folder / "best.pth")
    setup.serve()


def missing_weights(setup: Setup) -> None:
    setup.settings |= {"model.weights": "/nowhere/best.pth", "model.sha256": "0" * 64}
    setup.serve()


def unknown_profile(setup: Setup) -> None:
    setup.settings["model.profile"] = "nobody-has-it"
    setup.serve()


def no_gpu_driver(setup: Setup) -> None:
    setup.settings["device"] = "cuda"
    worker = (sys.executable, "-m", "lab_side.worker.server")
    setup.patch.setattr("lab_side.worker.client.COMMAND", worker)
    setup.patch.setenv("CUDA_VISIBLE_DEVICES", "")
    # One start of the real worker is enough.
    setup.text_options = ("--quick",)
    setup.serve()


def service_failed(setup: Setup) -> None:
    (setup.folder / "units").mkdir()
    (setup.folder / "units" / f"{SERVICE_NAME}.service").write_text("")
    setup.patch.setattr(systemd.Systemd, "state", lambda _: "failed")
    setup.serve()


def no_gpu_seen(setup: Setup) -> None:
    setup.settings["device"] = "auto"
    setup.serve()


def worker_that_dies(setup: Setup) -> None:
    worker = (sys.executable, "-c", "raise SystemExit(3)")
    setup.patch.setattr("lab_side.worker.client.COMMAND", worker)
    setup.serve()


def bucket_missing(setup: Setup) -> None:
    fake = setup.stack.enter_context(FakeGcs(["another"]))
    setup.use(f"gs://{BUCKET}/{PREFIX}", make_bucket(fake.url, PREFIX))
    setup.serve()


def wrong_bucket_address(setup: Setup) -> None:
    setup.settings["bucket"] = f"https://lab:{SECRETS[2]}@storage.example.org/b"
    setup.serve()


def without(*permissions: str) -> Callable[[Setup], None]:
    def broken(setup: Setup) -> None:
        setup.guard(*permissions)
        setup.serve()

    broken.__name__ = f"without_the_right_to_{'_'.join(permissions)}"
    return broken


@pytest.mark.parametrize(
    ("breaks", "check", "verdict", "code", "remedy"),
    [
        (wrong_password, "Orthanc answers", "FAILED", "orthanc-credentials", "password"),
        (no_password, "configuration", "FAILED", "orthanc-password-missing", "keyring set"),
        (open_secret_file, "configuration", "FAILED", "secret-file-open", "chmod 600"),
        (secret_in_the_file, "configuration", "FAILED", "secret-in-file", "Remove it"),
        (torn_file, "settings", "FAILED", "configuration", "Correct the line"),
        (misspelt_setting, "configuration", "FAILED", "configuration", "README"),
        (plain_http, "configuration", "FAILED", "orthanc-plain-http", "https"),
        (expired_certificate, "Orthanc answers", "FAILED", "orthanc-certificate-date", "renewed"),
        (
            certificate_that_ends_soon,
            *("certificate of Orthanc", "WARNING", "orthanc-certificate-date", "renewed"),
        ),
        (
            unknown_authority,
            *("Orthanc answers", "FAILED", "orthanc-certificate-authority", "ca_file"),
        ),
        (
            certificate_for_another_name,
            *("Orthanc answers", "FAILED", "orthanc-certificate-name", "name"),
        ),
        (port_closed, "Orthanc answers", "FAILED", "orthanc-unavailable", "address"),
        (not_an_orthanc, "Orthanc answers", "FAILED", "orthanc-answer", "address"),
        (reading_forbidden, "reading from Orthanc", "FAILED", "orthanc-credentials", "user"),
        (overwriting_on, "overwriting in Orthanc", "FAILED", "orthanc-overwrites", "false"),
        (overwriting_in_secret, "overwriting in Orthanc", "FAILED", "orthanc-overwrites", "false"),
        (what_is_stored_is_altered, "writing to Orthanc", "FAILED", "orthanc-changes", "plug-in"),
        (deleting_forbidden, "writing to Orthanc", "WARNING", "orthanc-credentials", "Delete"),
        (slow_line, "line to Orthanc", "WARNING", "line-slow", "VPN"),
        (clock_off_by_a_day, "clock of Orthanc", "FAILED", "clock-off", "timedatectl"),
        (clock_off_by_a_day, "clock of the queue", "FAILED", "clock-off", "timedatectl"),
        (work_folder_is_a_file, "disk", "FAILED", "local-disk", "rights"),
        (full_disk, "disk", "FAILED", "disk-low", "Free space"),
        (wrong_weights, "model demo", "FAILED", "weights-sha256", "right file"),
        (weights_without_a_hash, "model demo", "WARNING", "", "sha256 ="),
        (missing_weights, "model demo", "FAILED", "weights-missing", "path"),
        (unknown_profile, "configuration", "FAILED", "profile-missing", "profiles_dir"),
        (no_gpu_driver, "run of demo", "FAILED", "device", "driver"),
        (no_gpu_seen, "run of demo", "WARNING", "device", "driver"),
        (service_failed, "service", "WARNING", "service-failed", "journalctl"),
        (worker_that_dies, "run of demo", "FAILED", "worker-died", ""),
        (bucket_missing, "queue reached", "FAILED", "bucket-missing", "address"),
        (
            wrong_bucket_address,
            "queue address",
            "FAILED",
            "bucket-address",
            "Give the address alone",
        ),
        (without("list"), "queue reached", "FAILED", "bucket-forbidden", "objects.list"),
        (without("create"), "right to submit", "FAILED", "bucket-forbidden", "objects.create"),
        (without("get"), "right to read a manifest", "FAILED", "bucket-forbidden", "objects.get"),
        (without("move"), "right to claim", "FAILED", "bucket-forbidden", "objects.move"),
        (without("update"), "right to beat", "FAILED", "bucket-forbidden", "objects.update"),
        (without("delete"), "right to delete", "FAILED", "bucket-forbidden", "objects.delete"),
    ],
)
def test_each_broken_set_up_names_cause_and_remedy(
    setup: Setup,
    breaks: Callable[[Setup], None],
    check: str,
    verdict: str,
    code: str,
    remedy: str,
) -> None:
    breaks(setup)
    if check != "run of demo":
        setup.options += ("--quick",)
    exit_code, found, said = setup.ask()
    assert check in found, said
    finding = found[check]
    assert (finding["verdict"], finding["code"]) == (verdict, code), said
    assert finding["detail"]
    assert finding["remedy"]
    assert remedy in finding["remedy"], finding
    assert (exit_code == console.EXIT_OK) is (verdict == "WARNING"), said
    assert "Traceback" not in said
    assert "unexpected" not in said
    for secret in SECRETS:
        assert secret not in said


@pytest.mark.parametrize(
    ("told", "verdict"), [(True, "FAILED"), (False, "OK"), (None, "NOT KNOWN")]
)
def test_overwriting_as_orthanc_tells(told: bool | None, verdict: str) -> None:
    system = {} if told is None else {"OverwriteInstances": told}
    assert check_overwriting(system).verdict == verdict


def test_a_failed_test_instance_is_not_left_behind(setup: Setup) -> None:
    overwriting_in_secret(setup)
    setup.ask()
    assert STORED not in setup.server.stored
