"""An operator looks at the queue with the real gsutil.

The program is sought in GSUTIL, in .cache/gsutil and in PATH; without it these tests are
skipped. It speaks https only, so the fake serves its own certificate.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.gcs_bucket import GcsBucket
from common.queue import ClaimDesk, SiteDesk, scan
from infra.fake_gcs import FakeGcs
from tests.support.gcs import BUCKET, make_bucket
from tests.support.jobs import NOW, make_manifest, make_result

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
"""Each call takes some seconds of Python imports."""


class Gsutil:
    """The program, pointed at the fake."""

    def __init__(self, program: str, fake: FakeGcs, folder: Path) -> None:
        self._program = program
        self._options = [
            *("-o", "Credentials:gs_json_host=localhost"),
            *("-o", f"Credentials:gs_json_port={fake.tls_port}"),
            *("-o", f"Boto:ca_certificates_file={fake.certificate}"),
            *("-o", "Boto:num_retries=1"),
            *("-o", f"GSUtil:state_dir={folder}"),
            *("-o", "GSUtil:software_update_check_period=0"),
        ]
        self._environment = {**os.environ, "BOTO_CONFIG": os.devnull, "HOME": str(folder)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *self._options, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )


def find_gsutil() -> str | None:
    cached = ROOT / ".cache" / "gsutil" / "bin" / "gsutil"
    return os.environ.get("GSUTIL") or (str(cached) if cached.exists() else shutil.which("gsutil"))


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeGcs]:
    with FakeGcs([BUCKET], tls=True) as fake:
        yield fake


@pytest.fixture(scope="module")
def gsutil(fake: FakeGcs, tmp_path_factory: pytest.TempPathFactory) -> Gsutil:
    program = find_gsutil()
    if program is None:
        pytest.skip("gsutil is not here: set GSUTIL to the program, or run infra/setup")
    return Gsutil(program, fake, tmp_path_factory.mktemp("gsutil"))


@pytest.fixture
def bucket(fake: FakeGcs) -> Iterator[GcsBucket]:
    bucket = make_bucket(fake.url, "q")
    yield bucket
    bucket.close()


def test_an_operator_sees_every_state(gsutil: Gsutil, bucket: GcsBucket) -> None:
    waits, runs, ended = (make_manifest(priority=number) for number in (3, 2, 1))
    for manifest in (waits, runs, ended):
        SiteDesk(bucket).submit(manifest)
    desk = ClaimDesk(bucket, "lab-1", now=lambda: NOW)
    first, second = (desk.claim(job) for job in scan(bucket).pending[:2])
    assert first is not None
    assert second is not None
    desk.finish(first, make_result(ended.job_id))
    listed = gsutil.run("ls", f"gs://{BUCKET}/q/**")
    assert listed.returncode == 0, listed.stderr
    root = f"gs://{BUCKET}/q/v1"
    assert sorted(listed.stdout.split()) == [
        f"{root}/done/1-{ended.job_id}~demo.json",
        f"{root}/jobs/claimed/lab-1/2-{runs.job_id}~demo~1.json",
        f"{root}/jobs/pending/3-{waits.job_id}~demo~0.json",
        f"{root}/results/{ended.job_id}.json",
    ]
    shown = gsutil.run("cat", f"{root}/jobs/pending/3-{waits.job_id}~demo~0.json")
    assert shown.stdout.encode() == waits.to_json()
    told = gsutil.run("stat", f"{root}/results/{ended.job_id}.json")
    assert "application/json" in told.stdout


def test_gsutil_meets_the_preconditions_too(
    gsutil: Gsutil, bucket: GcsBucket, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    condition = ("-h", "x-goog-if-generation-match:0")
    target = f"gs://{BUCKET}/q/copied"
    made = gsutil.run(*condition, "cp", str(file), target)
    assert made.returncode == 0, made.stderr
    refused = gsutil.run(*condition, "cp", str(file), target)
    assert refused.returncode != 0
    assert "412" in refused.stderr or "Precondition" in refused.stderr
    assert bucket.read("copied", limit=99) == b"content"
