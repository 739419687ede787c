"""The commands to copy, and what site and agent are told of their queue."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from infra.demos import queue as demo_queue
from infra.demos.queue import CloudQueue, Listing, make_directory_queue
from infra.servers.site_and_agent import DemoError
from segrelay.bucket import open_bucket

QUEUE = CloudQueue(
    "http://127.0.0.1:21020", 21021, Path("/tmp/a folder/cert.pem"), "/opt/g s/gsutil"
)


def test_the_plain_command_is_the_one_for_a_real_bucket() -> None:
    assert QUEUE.plain_command == "gsutil ls -r gs://segrelay-demo/queue/v1/"


def test_the_command_for_the_fake_has_every_option_it_needs() -> None:
    words = shlex.split(QUEUE.command)
    assert words[:2] == ["BOTO_CONFIG=/dev/null", "/opt/g s/gsutil"]
    options = {words[n + 1] for n, word in enumerate(words) if word == "-o"}
    assert options == {
        "Credentials:gs_json_host=localhost",
        "Credentials:gs_json_port=21021",
        "Boto:ca_certificates_file=/tmp/a folder/cert.pem",
        "Boto:num_retries=1",
    }
    assert words[-3:] == shlex.split(QUEUE.plain_command)[1:]


def test_without_gsutil_the_command_still_names_it() -> None:
    assert shlex.split(replace(QUEUE, gsutil=None).command)[1] == "gsutil"


@pytest.mark.process
def test_a_program_that_fails_or_hangs_ends_the_demo_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "gsutil"
    program.write_text("#!/bin/sh\n>&2 echo no such bucket\nexit 1\n")
    program.chmod(0o755)
    queue = replace(QUEUE, gsutil=str(program), certificate=tmp_path / "cert.pem")
    with pytest.raises(DemoError, match="no such bucket"):
        queue.list_with_gsutil()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(demo_queue, "GSUTIL_LIMIT_S", 0.1)
    with pytest.raises(DemoError, match="did not end"):
        queue.list_with_gsutil()


def test_site_and_agent_are_led_to_the_queue(tmp_path: Path) -> None:
    told = dict(QUEUE.environment)
    assert told["SEGRELAY_BUCKET"] == "gs://segrelay-demo/queue"
    assert told["STORAGE_EMULATOR_HOST"] == QUEUE.url
    local = make_directory_queue(tmp_path / "queue").environment
    assert set(local) == {"SEGRELAY_BUCKET"}
    assert open_bucket(local["SEGRELAY_BUCKET"]).list("") == []


def test_a_listing_names_objects_and_not_folders() -> None:
    root = "gs://b/queue"
    text = f"{root}/v1/:\n\n{root}/v1/done/:\n{root}/v1/done/x.json\n"
    assert Listing(root, text).names == {"v1/done/x.json"}
