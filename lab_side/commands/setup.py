"""``lab-agent setup``: ask what this computer needs to know, and write it down.

Every answer can be given as an option; what is missing is asked for on a terminal. A password
is never an option: it is typed without echo, or read from standard input.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from common.bucket import check_address
from common.errors import FixConfigurationError, SegRelayError
from common.queue_address import directory_address
from common.text_files import UnreadableTextError, decode_text
from lab_side.account import home_folder
from lab_side.config import (
    PACKAGED_PROFILES,
    check_values,
    default_agent_id,
)
from lab_side.config_file import Answers, as_toml, check_free, refused, write_config
from lab_side.model_files import sha256_of
from lab_side.secrets import PASSWORD, keep_in_folder, keep_in_keyring
from lab_side.settings_file import CONFIG_VARIABLE

OK = 0

NEXT = """\
Next:
  lab-agent --config {path} doctor
      checks everything that the agent needs, and says what to do where something is wrong;
      with --write it also stores a tiny test instance in Orthanc
  lab-agent --config {path} run
      serves the queue until it is stopped
Set {variable}={path} to leave out --config."""


def add_to(commands: Any) -> None:
    """Add the command to the parser of ``lab-agent``."""
    command = commands.add_parser(
        "setup",
        help="write this computer's configuration file and keep the password",
        description="Ask what is not given, write the file of --config (else of "
        f"${CONFIG_VARIABLE}, else /etc/segrelay/agent.toml for root and "
        "~/.config/segrelay/agent.toml for others), readable by this account alone, and keep the "
        "password. Run it as the account that will run the agent.",
    )
    command.add_argument("--bucket", metavar="ADDRESS", help="gs://bucket/prefix or a directory")
    command.add_argument("--orthanc-url", metavar="URL", help="https://host[:port][/path]")
    command.add_argument("--orthanc-user", metavar="USER", help="empty for none")
    command.add_argument("--orthanc-ca-file", type=Path, metavar="PEM", help="authority to trust")
    command.add_argument("--profile", help="model profile (default: demo)")
    command.add_argument("--profiles-dir", type=Path, metavar="DIR", help="your own profiles")
    command.add_argument("--weights", type=Path, metavar="FILE", help="your own weights")
    command.add_argument("--agent-id", metavar="ID", help="default: from the host's name")
    command.add_argument("--work-dir", type=Path, metavar="DIR", help="downloads and outbox")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    command.add_argument(
        "--secrets",
        choices=("auto", "keyring", "file"),
        default="auto",
        help="where the password is kept: auto tries the keyring, else a file of mode 0600",
    )
    command.add_argument("--force", action="store_true", help="write over an existing file")
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Ask, check, write, and say what comes next."""
    path = (options.config or _default_path(os.environ)).expanduser().absolute()
    if not options.force:
        check_free(path)
    ask = _ask_on_terminal if sys.stdin is not None and sys.stdin.isatty() else _ask_nobody
    answers = _gather(options, ask, os.environ)
    # Before the password is asked for: a wrong address is mended first.
    _check(answers)
    password = _password(options, answers.user, ask)
    keeper = _Keeper(path.parent / "credentials", options.secrets)
    answers = keeper.keep(answers, password)
    write_config(path, as_toml(answers))
    _write(f"Written: {path}, which this account alone may read.")
    for line in keeper.told:
        _write(line)
    _write(NEXT.format(path=path, variable=CONFIG_VARIABLE))
    return OK


Ask = Callable[[str, str, str | None], str]
"""Called with the question, the option that answers it, and the default: None where there is none,
empty where nothing is an answer as well."""


def _gather(options: argparse.Namespace, ask: Ask, environment: Mapping[str, str]) -> Answers:
    bucket = options.bucket or ask("Queue (gs://bucket/prefix, or a directory)", "--bucket", None)
    url = options.orthanc_url or ask("Orthanc's address (https://…)", "--orthanc-url", None)
    user = options.orthanc_user
    if user is None:
        user = ask("Orthanc's user (empty: none)", "--orthanc-user", "")
    profile = options.profile or ask(f"Profile ({', '.join(_shipped())})", "--profile", "demo")
    weights = options.weights
    if weights is None and _needs_weights(profile, options.profiles_dir):
        weights = Path(ask("Weights file of this profile", "--weights", None))
    work_dir = options.work_dir or ask(
        "Work folder, on a local disk", "--work-dir", str(_default_work_dir(environment))
    )
    return Answers(
        bucket=_as_address(bucket),
        agent_id=options.agent_id or default_agent_id(),
        work_dir=_absolute(Path(work_dir)),
        device=options.device,
        url=url,
        user=user,
        ca_file=None if options.orthanc_ca_file is None else _absolute(options.orthanc_ca_file),
        profile=profile,
        profiles_dir=None if options.profiles_dir is None else _absolute(options.profiles_dir),
        weights=None if weights is None else _absolute(weights),
        sha256="" if weights is None else sha256_of(_absolute(weights)),
        credentials_dir=None,
    )


def _check(answers: Answers) -> None:
    """As the agent will read it, but for the password; opens no connection.

    Raises
    ------
    FixConfigurationError
        Names the first answer that is wrong.
    """
    check_address(answers.bucket)
    config = check_values(as_toml(answers))
    config.load_profiles()


def _password(options: argparse.Namespace, user: str, ask: Ask) -> SecretStr | None:
    """The password of ``user``; None where there is no user."""
    if not user:
        return None
    if options.password_stdin:
        password = _read_line()
    elif ask is _ask_on_terminal:
        password = getpass.getpass(f"Password of {user} (not shown): ")
    else:
        password = os.environ.get(PASSWORD.variable, "")
    if not password:
        raise FixConfigurationError(
            f"There is no password for the Orthanc user {user}.",
            code="orthanc-password-missing",
            remedy="Run it on a terminal, or give the password with --password-stdin or "
            f"{PASSWORD.variable}.",
        )
    return SecretStr(password)


def _read_line() -> str:
    """The first line of standard input, whatever the terminal's code page is."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        return sys.stdin.readline().rstrip("\r\n")
    try:
        return decode_text(stream.readline()).rstrip("\r\n")
    except UnreadableTextError as error:
        raise FixConfigurationError(
            f"The password on standard input {error}.",
            code="secret-file-unreadable",
            remedy="Send it as UTF-8, or type it on a terminal.",
        ) from None


@dataclass
class _Keeper:
    """Puts the password where the agent will find it."""

    folder: Path
    where: str
    told: tuple[str, ...] = ()

    def keep(self, answers: Answers, password: SecretStr | None) -> Answers:
        """Keep it; returns the answers with the place."""
        if password is None:
            return answers
        secret = password.get_secret_value()
        if self.where != "file" and keep_in_keyring(PASSWORD.service, answers.user, secret):
            self.told = (f"The password is in the keyring, as {PASSWORD.service} {answers.user}.",)
            return answers
        if self.where == "keyring":
            raise FixConfigurationError(
                "There is no keyring here that keeps a secret.",
                code="keyring-unusable",
                remedy="Run it with --secrets file, or unlock the keyring of this account.",
            )
        try:
            path = keep_in_folder(self.folder, PASSWORD.credential, secret)
        except OSError as error:
            raise refused(self.folder, error) from None
        self.told = (f"The password is in {path}, which this account alone may read.",)
        return replace(answers, credentials_dir=self.folder)


def _ask_on_terminal(question: str, option: str, default: str | None) -> str:
    shown = f" [{default}]" if default else ""
    try:
        answer = input(f"{question}{shown}: ").strip()
    except EOFError:
        answer = ""
    return answer or _ask_nobody(question, option, default)


def _ask_nobody(question: str, option: str, default: str | None) -> str:
    if default is not None:
        return default
    raise FixConfigurationError(
        f"An answer is missing: {question}.",
        code="setup-incomplete",
        remedy=f"Give {option}, or run lab-agent setup on a terminal.",
    )


def _as_address(bucket: str) -> str:
    """A directory as an address; an address as it is."""
    return bucket if "://" in bucket else directory_address(_absolute(Path(bucket)))


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _shipped() -> list[str]:
    return sorted(path.parent.name for path in PACKAGED_PROFILES.glob("*/profile.json"))


def _needs_weights(profile: str, profiles_dir: Path | None) -> bool:
    from common.profiles import load_profile

    for folder in filter(None, (profiles_dir, PACKAGED_PROFILES)):
        try:
            return load_profile(folder / profile).weights.file is None
        except SegRelayError:
            continue
    return False


def _default_path(environment: Mapping[str, str]) -> Path:
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/etc/segrelay/agent.toml")
    return home_folder() / ".config" / "segrelay" / "agent.toml"


def _default_work_dir(environment: Mapping[str, str]) -> Path:
    if environment.get("SEGRELAY_WORK_DIR"):
        return Path(environment["SEGRELAY_WORK_DIR"])
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/segrelay")
    return home_folder() / "segrelay"


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
