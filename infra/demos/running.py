"""A demo that runs: where everything is, what can be done with it, and how it ends.

The passwords are those of servers on loopback that live as long as the demo.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from infra.demos.options import OUT
from infra.demos.study import load_study
from infra.packages.debian import repository_root
from segrelay.errors import FixConfigurationError
from segrelay.orthanc import OrthancClient, OrthancSettings

RUNNING = "running.json"
"""Below the output folder while the demo runs, for its account alone."""

_UPLOADS_AT_ONCE = 4


class RunningDemo(BaseModel):
    """Addresses and accounts of one demo."""

    model_config = ConfigDict(frozen=True)

    site: str
    site_user: str
    site_password: str
    orthanc: str
    orthanc_user: str
    orthanc_password: str

    @contextmanager
    def written(self, out: Path) -> Iterator[Path]:
        """The file that says so, readable by this account alone; gone after the block."""
        path = out / RUNNING
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json(indent=1))
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def words(self, out: Path) -> list[str]:
        """What to open, what to type next and how to stop; a line each."""
        at = "" if out == repository_root() / OUT else f" --out {shlex.quote(str(out))}"
        return [
            f"The page:   {self.site}/segmentation/",
            f"            log in as {self.site_user} with the password {self.site_password}",
            f"The admin:  {self.site}/admin/ (the same account)",
            f"Orthanc:    {self.orthanc}/app/explorer.html",
            f"            user {self.orthanc_user}; the password is in {out / RUNNING}",
            "",
            "Put another study in, from a second terminal; it prints the address of its page:",
            f"    infra/demo{at} --send STUDY.zip           or a folder of DICOM files",
            "Without a study at hand, make one:",
            "    .venv/bin/python -m infra.phantom --seed 7 --out /tmp/phantom",
            f"    infra/demo{at} --send /tmp/phantom/dicom",
            "",
            "To stop: press Ctrl-C here. Every process ends; what is in Orthanc, site and queue is "
            f"thrown away, and {out} stays.",
        ]


def read_running(out: Path) -> RunningDemo:
    """The demo that writes to this folder.

    Raises
    ------
    FixConfigurationError
        ``demo-missing``: none runs.
    """
    try:
        return RunningDemo.model_validate_json((out / RUNNING).read_bytes())
    except (OSError, ValidationError):
        raise FixConfigurationError(
            f"No demo runs that writes to {out}.",
            code="demo-missing",
            remedy="Start one in another terminal: infra/demo",
        ) from None


def send(study: Path, out: Path) -> list[str]:
    """Send a study to the Orthanc of the demo that runs; what to do next, a line each.

    Raises
    ------
    FixConfigurationError
        No demo runs, or the folder or zip file holds no MR study, or several.
    SegRelayError
        Orthanc does not take it.
    """
    demo = read_running(out)
    settings = OrthancSettings(
        url=demo.orthanc, user=demo.orthanc_user, password=SecretStr(demo.orthanc_password)
    )
    with TemporaryDirectory(prefix="segrelay-send-") as folder:
        files = [file for one in load_study(study, Path(folder)).series for file in one.files]
        with (
            closing(OrthancClient(settings)) as client,
            ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool,
        ):
            replies = list(pool.map(client.upload, (file.read_bytes() for file in files)))
            study_id = client.series(replies[0].orthanc_series_id).study_id
    return [
        f"{len(files)} images sent to the demo's Orthanc.",
        f"Next: open {demo.site}/segmentation/studies/{study_id}/",
        f"log in as {demo.site_user} with the password {demo.site_password}, "
        "and press Segment tumour.",
    ]
