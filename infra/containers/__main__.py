"""``python -m infra.containers``: try the hospital's containers, one line for each question.

Exit code 0 where every answer was right; 78 where containers cannot be run here.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from infra.containers.engine import Engine, running_engine
from infra.containers.hospital import ADDRESS, HOST, Hospital, TrialError
from infra.containers.images import needed, provide, provide_compose
from infra.containers.trial import AGENT_IMAGE, QUESTIONS, Trial, with_agent
from infra.servers.processes import exit_on_termination
from segrelay.errors import SegRelayError

_INSIDE = "--inside"
AGENT_DOCKERFILE = "infra/compose/agent.Dockerfile"


def main() -> int:
    """Ask all questions; leaves nothing running."""
    parser = argparse.ArgumentParser(prog="python -m infra.containers", description=__doc__)
    parser.add_argument(_INSIDE, type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument(
        "--agent", action="store_true", help="also the agent's image: some 10 GB with CUDA"
    )
    options = parser.parse_args()
    exit_on_termination()
    if options.inside is None:
        with tempfile.TemporaryDirectory(prefix="segrelay-containers-") as folder:
            return _again_with_names(Path(folder), sys.argv[1:])
    try:
        return _try_all(options.inside, with_image=options.agent)
    except (SegRelayError, TrialError) as error:
        print(f"{error} {getattr(error, 'remedy', '')}", file=sys.stderr)
        return 78


def _again_with_names(folder: Path, arguments: Sequence[str]) -> int:
    """This program in a mount namespace whose ``/etc/hosts`` knows the hospital's name."""
    hosts = folder / "hosts"
    hosts.write_text(f"{Path('/etc/hosts').read_text()}\n{ADDRESS} {HOST}\n")
    again = shlex.join([sys.executable, "-m", "infra.containers", _INSIDE, str(folder), *arguments])
    command = f"mount --bind {shlex.quote(str(hosts))} /etc/hosts && exec {again}"
    # It ends with this program: exit_on_termination() turns a signal into an exception here.
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", command]) as inside:
        try:
            return inside.wait()
        except BaseException:
            inside.terminate()
            raise


def _try_all(folder: Path, *, with_image: bool) -> int:
    # The agent's user id must find its own folder in it.
    folder.chmod(0o711)
    failures = 0
    with ExitStack() as stack:
        engine = stack.enter_context(running_engine())
        provide_compose(engine)
        hospital = Hospital(engine, folder)
        hospital.prepare()
        _report_images(hospital)
        stack.callback(hospital.compose, "down", "--volumes", "--timeout", "10")
        hospital.compose("build", "site")
        _report_size(engine, "segrelay-site")
        questions = QUESTIONS
        if with_image:
            engine.docker("build", "--tag", AGENT_IMAGE, "--file", AGENT_DOCKERFILE, ".")
            _report_size(engine, AGENT_IMAGE)
            questions = (*QUESTIONS, Trial.the_agent_in_a_container)
        trial = stack.enter_context(with_agent(hospital))
        for question in questions:
            began = time.monotonic()
            try:
                answer, is_right = question(trial), True
            except (TrialError, SegRelayError) as error:
                answer, is_right = str(error), False
            failures += not is_right
            word = "ok    " if is_right else "WRONG "
            print(f"{word} {question.__doc__} ({answer}) {time.monotonic() - began:.0f} s")
            sys.stdout.flush()
    print(f"{len(questions) - failures} of {len(questions)} right")
    return 1 if failures else 0


def _report_images(hospital: Hospital) -> None:
    names = needed(json.loads(hospital.compose("config", "--format", "json")))
    for name, words in provide(hospital.engine, names).items():
        print(f"image  {name}: {words}", flush=True)


def _report_size(engine: Engine, image: str) -> None:
    size = int(engine.docker("image", "inspect", "--format", "{{.Size}}", image))
    print(f"image  {image}: built, {size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
