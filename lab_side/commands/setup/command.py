"""``lab-agent setup``: ask what this computer needs to know, and write it down.

Every answer can be given as an option; what is missing is asked for on a terminal. A password
or token is never an option: it is typed without echo, or read from standard input.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from lab_side.commands.console import EXIT_OK
from lab_side.commands.setup.dialogue import (
    answers_of,
    ask_secret,
    ask_user,
    is_on_terminal,
    read_line,
    say,
    show,
)
from lab_side.commands.setup.keeper import Keeper
from lab_side.commands.setup.questions import (
    QueueTrial,
    absolute,
    authority,
    authority_of_queue,
    device,
    folder_of_profiles,
    questions,
    writable_folder,
)
from lab_side.commands.setup.queue_secret import QueuePlace, QueueSecret, secret_for
from lab_side.commands.setup.trials import try_orthanc
from lab_side.completion import complete_profiles
from lab_side.computer.account import home_folder
from lab_side.settings.config_file import Answers, as_toml, check_free, write_config
from lab_side.settings.loading import check_values
from lab_side.settings.secrets import (
    FOLDER_VARIABLE,
    PASSWORD,
    orthanc_password,
)
from lab_side.settings.settings_file import CONFIG_VARIABLE, find_settings, new_settings_path
from lab_side.settings.sources import default_agent_id, read_settings
from segrelay.errors import FixConfigurationError
from segrelay.system.command_line import some_text

NEXT = """\
Next:
  {command} doctor
      checks everything that the agent needs, and says what to do where something is wrong;
      with --write it also stores a tiny test instance in Orthanc
  {command} segment --series-ids ID …
      segments one study by hand
  {command} run
      serves the queue until it is stopped"""


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    command = commands.add_parser(
        "setup",
        help="write this computer's configuration file and keep the password",
        description="Ask what is not given, write the file of --config (else of "
        f"${CONFIG_VARIABLE}, else /etc/segrelay/agent.toml for root and "
        "~/.config/segrelay/agent.toml for others), readable by this account alone, and keep "
        "password and token. Run it as the account that will run the agent.",
    )
    command.add_argument(
        "--bucket",
        type=some_text,
        metavar="ADDRESS",
        help="https://site/…/queue, rediss://user@host/0/segrelay, gs://bucket/prefix, or a "
        "directory",
    )
    command.add_argument(
        "--queue-ca-file", type=Path, metavar="PEM", help="authority to trust for the queue"
    )
    command.add_argument(
        "--orthanc-url", type=some_text, metavar="URL", help="https://host[:port][/path]"
    )
    command.add_argument("--orthanc-user", metavar="USER", help="empty for none")
    command.add_argument("--orthanc-ca-file", type=Path, metavar="PEM", help="authority to trust")
    complete_profiles(
        command.add_argument("--profile", type=some_text, help="model profile (default: demo)")
    )
    command.add_argument("--profiles-dir", type=Path, metavar="DIR", help="your own profiles")
    command.add_argument("--weights", type=Path, metavar="FILE", help="your own weights")
    command.add_argument(
        "--agent-id", type=some_text, metavar="ID", help="default: from the host's name"
    )
    command.add_argument("--work-dir", type=Path, metavar="DIR", help="downloads and outbox")
    command.add_argument("--device", type=some_text, help="auto, cpu, cuda or cuda:1")
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    command.add_argument(
        "--queue-token-stdin",
        action="store_true",
        help="read the token for a site's queue from standard input, before the password",
    )
    command.add_argument(
        "--queue-password-stdin",
        action="store_true",
        help="read the password of a Redis from standard input, before Orthanc's",
    )
    command.add_argument(
        "--secrets",
        choices=("auto", "keyring", "file"),
        default="auto",
        help="where password and token are kept: auto tries the keyring, else a file of mode 0600",
    )
    command.add_argument("--force", action="store_true", help="write over an existing file")
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Ask, judge, try, write, and say what comes next."""
    path = (options.config or new_settings_path()).expanduser().absolute()
    asks = is_on_terminal()
    earlier = _earlier(path, asks=asks, force=options.force)
    writable_folder(path.parent, "The folder of the settings file")
    try:
        answers, secret, password = _gather(options, earlier, asks=asks)
        keeper = Keeper(path.parent / "credentials", options.secrets)
        if secret is not None:
            answers = keeper.keep(
                answers, secret.places, answers.agent_id, secret.kept_as, secret.value
            )
        answers = keeper.keep(answers, PASSWORD, answers.user, "The password", password)
        write_config(path, as_toml(answers, earlier))
    except KeyboardInterrupt:
        say("\nEnded. Nothing was written.")
        raise
    say(f"Written: {path}, which this account alone may read.")
    for line in (*keeper.report, *_what_follows(path, options.config is None)):
        say(line)
    return EXIT_OK


def _earlier(path: Path, *, asks: bool, force: bool) -> dict[str, Any]:
    """Return what an earlier run has written; nothing where there was none."""
    if not (asks or force):
        check_free(path)
    if not path.exists():
        return {}
    try:
        earlier = read_settings(path)
    except FixConfigurationError:
        if force:
            return {}
        raise
    say(f"{path} is there: its answers are offered again, and its other settings stay.")
    return earlier


def _gather(
    options: argparse.Namespace, earlier: dict[str, Any], *, asks: bool
) -> tuple[Answers, QueueSecret | None, SecretStr | None]:
    """The answers, the queue's secret and Orthanc's password; None for what is not to be kept."""
    orthanc = earlier.get("orthanc", {})
    profiles_dir = folder_of_profiles(_chosen(options.profiles_dir, earlier.get("profiles_dir")))
    ca_file = authority(_chosen(options.orthanc_ca_file, orthanc.get("ca_file")))
    queue_ca = authority_of_queue(_chosen(options.queue_ca_file, earlier.get("queue_ca_file")))
    where = device(options.device or earlier.get("device", "auto"))
    asked = questions(
        earlier,
        profiles_dir=profiles_dir,
        work_dir="" if options.work_dir else str(_default_work_dir(os.environ)),
        ca_file=ca_file,
        queue=QueueTrial(queue_ca, asks=asks),
        name=earlier.get("agent_id") or default_agent_id(),
    )
    given = {
        "bucket": options.bucket,
        "agent_id": options.agent_id,
        "url": options.orthanc_url,
        "user": options.orthanc_user,
        "profile": options.profile,
        "weights": None if options.weights is None else str(options.weights),
        "work_dir": None if options.work_dir is None else str(options.work_dir),
    }
    found = answers_of(asked, given, asks=asks)
    queue_ca = found.get("queue_ca_file", queue_ca)
    place = QueuePlace(address=found["bucket"], agent=found["agent_id"], ca_file=queue_ca)
    secret = secret_for(options, earlier, place, asks=asks)
    found["user"], password = _credentials(options, earlier, found, ca_file, asks=asks)
    weights, sha256 = found.get("weights", (None, ""))
    answers = Answers(
        bucket=found["bucket"],
        queue_ca_file=queue_ca,
        agent_id=found["agent_id"],
        work_dir=found["work_dir"],
        device=where,
        url=found["url"],
        user=found["user"],
        ca_file=ca_file,
        profile=found["profile"].name,
        profiles_dir=profiles_dir,
        weights=weights,
        sha256=sha256,
        credentials_dir=_chosen(None, earlier.get("credentials_dir")),
    )
    check_values(as_toml(answers, earlier)).load_profiles()
    return answers, secret, password


def _credentials(
    options: argparse.Namespace,
    earlier: dict[str, Any],
    found: dict[str, Any],
    ca_file: Path | None,
    *,
    asks: bool,
) -> tuple[str, SecretStr | None]:
    """The user and the password, which Orthanc has taken; None where none is to be kept."""
    user: str = found["user"]
    stored = _stored(user, earlier)
    tried: tuple[str, str] | None = None
    while user:
        password = _password(options, user, stored, asks=asks)
        secret = password or stored
        if not asks or (user, secret.get_secret_value()) == tried:
            return user, password
        tried = (user, secret.get_secret_value())
        problem = try_orthanc(found["url"], ca_file=ca_file, user=user, password=secret)
        if problem is None:
            say("  Orthanc answers, and lets this user in.")
            return user, password
        show(problem)
        if options.password_stdin:
            raise problem
        say("    Type user and password again; the same ones once more are kept as they are.")
        user = ask_user(user)
        stored = _stored(user, earlier)
    return user, None


def _stored(user: str, earlier: dict[str, Any]) -> SecretStr:
    """The password of an earlier run; empty where there is none."""
    if not user or earlier.get("orthanc", {}).get("user") != user:
        return SecretStr("")
    folder = earlier.get("credentials_dir")
    environment = {FOLDER_VARIABLE: str(folder)} if folder else {}
    try:
        return SecretStr(orthanc_password(user, environment))
    except FixConfigurationError:
        return SecretStr("")


def _password(
    options: argparse.Namespace, user: str, stored: SecretStr, *, asks: bool
) -> SecretStr | None:
    """Return what is to be kept; None where the stored one stays."""
    if options.password_stdin:
        password = read_line("The password")
    elif asks:
        has_stored = bool(stored.get_secret_value())
        password = ask_secret(f"Password of {user}", "--password-stdin", has_stored=has_stored)
    else:
        password = os.environ.get(PASSWORD.variable, "")
    if password:
        return SecretStr(password)
    if stored.get_secret_value():
        return None
    raise FixConfigurationError(
        f"There is no password for the Orthanc user {user}.",
        code="orthanc-password-missing",
        remedy="Run it on a terminal, or give the password with --password-stdin or "
        f"{PASSWORD.variable}.",
    )


def _what_follows(path: Path, is_usual: bool) -> Iterator[str]:
    """The next commands, as they are typed."""
    found = find_settings()
    is_found = found.path is not None and found.path.absolute() == path
    if is_usual and not is_found:
        yield f"Other commands read {found.path} before it: remove that one, or give --config."
    yield NEXT.format(command="lab-agent" if is_found else f"lab-agent --config {path}")


def _chosen(given: Path | None, earlier: str | None) -> Path | None:
    chosen = given or (Path(earlier) if earlier else None)
    return None if chosen is None else absolute(chosen)


def _default_work_dir(environment: Mapping[str, str]) -> Path:
    if environment.get("SEGRELAY_WORK_DIR"):
        return Path(environment["SEGRELAY_WORK_DIR"])
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/segrelay")
    return home_folder() / "segrelay"
