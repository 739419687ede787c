"""``lab-agent keygen``: a usable pair, and a secret that a keyring keeps unseen."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.null import Keyring as NullKeyring

from lab_side import cli
from lab_side.commands import console
from lab_side.settings.secrets import SIGNING, signing_key
from segrelay.signing import Kind, SigningKey, Trust, open_envelope, seal
from tests.support.lab.keyrings import keyring_replaced


class MemoryKeyring(KeyringBackend):
    """Keeps what it is given."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def memory_keyring() -> Iterator[MemoryKeyring]:
    backend = MemoryKeyring()
    with keyring_replaced(backend):
        yield backend


def test_the_printed_halves_belong_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["keygen"]) == console.EXIT_OK
    secret, public = capsys.readouterr().out.splitlines()
    key = SigningKey.from_text(secret.split()[0].removeprefix(f"{SIGNING.variable}="))
    assert public == f"public key: {key.public.text}"
    trust = Trust.of(jobs=[key.public])
    assert open_envelope(seal(b"{}", Kind.JOB, key), Kind.JOB, trust) == b"{}"


def test_a_keyring_keeps_the_secret_half_where_the_agent_looks(
    memory_keyring: MemoryKeyring, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["keygen", "--keyring", "lab-1"]) == console.EXIT_OK
    printed = capsys.readouterr().out
    (secret,) = memory_keyring.kept.values()
    assert secret not in printed
    key = signing_key("lab-1", {})
    assert key is not None
    assert key.public.text in printed
    assert signing_key("lab-2", {}) is None


def test_a_keyring_that_keeps_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(NullKeyring())  # type: ignore[no-untyped-call]
    try:
        assert cli.run(["keygen", "--keyring", "lab-1"]) == console.EXIT_CONFIG
    finally:
        keyring.set_keyring(before)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "keyring-unusable" in printed.err
