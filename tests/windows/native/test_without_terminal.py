"""No standard output, no standard error, another folder: as a service starts a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from lab_side.settings.secrets import keep_in_keyring, orthanc_password

LIMIT_S = 120

SCRIPT = """
import logging, sys
sys.stdout = sys.stderr = sys.stdin = None
from pathlib import Path
from lab_side.service.hosted import HostedAgent
from lab_side.service.notify import ServiceManager
code = HostedAgent(Path(sys.argv[1]), ServiceManager({}), Path(sys.argv[2]).write_text).run()
logging.shutdown()
sys.exit(code)
"""


def test_why_it_ended_is_in_the_log_file_and_told_to_the_host(tmp_path: Path) -> None:
    config, told = tmp_path / "agent.toml", tmp_path / "told"
    config.write_text(
        f"bucket = '{(tmp_path / 'queue').as_uri()}'\nagent_id = 'lab-1'\n"
        f"work_dir = '{tmp_path / 'work'}'\n[orthanc]\nurl = 'http://127.0.0.1:9'\n"
        "[[models]]\nprofile = 'nobody'\n"
    )
    output = tmp_path / "output"
    with output.open("wb") as file:
        # Into a file: under wine, what helps a console along keeps a pipe open.
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(config), str(told)],
            cwd=os.environ["SYSTEMROOT"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=LIMIT_S,
            check=False,
        )
    assert (done.returncode, output.read_bytes()) == (78, b"")
    assert "[profile-missing]" in told.read_text()
    log = (tmp_path / "work" / "lab-1" / "logs" / "lab-1.log").read_text(encoding="utf-8")
    last = json.loads(log.splitlines()[-1])
    assert (last["event"], last["code"], last["exit_code"]) == ("ended", "profile-missing", 78)


def test_a_password_lies_in_the_vault_of_this_account() -> None:
    assert keep_in_keyring("segrelay-orthanc", "lab", "hunter2")
    assert orthanc_password("lab", {}) == "hunter2"
