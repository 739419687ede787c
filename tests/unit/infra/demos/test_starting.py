"""The order in which the demo's servers are started: the slowest first, and side by side."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from infra.demos import starting
from infra.demos.queue import AT_SITE, QueueAtSite
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import DemoError, DemoServers, Folders

QUEUE = "http://127.0.0.1:1/queue"


class Recorder:
    """In place of the servers: what is asked of them, in order."""

    asked: tuple[tuple[str, Mapping[str, str] | None], ...] = ()

    def __init__(self, *_: object, queue: Mapping[str, str], **__: object) -> None:
        self.queue = queue

    def __getattr__(self, name: str) -> object:
        def note(environment: Mapping[str, str] | None = None) -> tuple[str, str]:
            self.asked = (*self.asked, (name, environment))
            return QUEUE, "token"

        return note


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "OrthancServer", nullcontext)
    monkeypatch.setattr(starting, "DemoServers", Recorder)


def started(queue: str, folder: Path) -> tuple[starting.Started, Recorder]:
    """What came of it, and the recorder in it."""
    with starting.started_servers(queue, "demo", Folders(folder, folder)) as found:
        servers: object = found.servers
        assert isinstance(servers, Recorder)
        return found, servers


def test_the_agent_loads_its_model_while_the_site_is_made(tmp_path: Path) -> None:
    found, servers = started("local", tmp_path)
    assert [name for name, _ in servers.asked] == [
        "start_agent",
        "make_database",
        "start_site",
        "start_sync",
        "wait_for_agent",
    ]
    assert servers.queue == {"SEGRELAY_BUCKET": (tmp_path / "bucket").as_uri()}
    assert found.queue is None


def test_an_agent_with_a_token_starts_before_the_site_that_it_asks(tmp_path: Path) -> None:
    found, servers = started("site", tmp_path)
    (made, _), (second, environment), *rest = servers.asked
    assert (made, second) == ("make_database_and_token", "start_agent")
    assert environment is not None
    assert (environment["SEGRELAY_BUCKET"], environment["SEGRELAY_QUEUE_TOKEN"]) == (QUEUE, "token")
    assert [name for name, _ in rest] == ["start_site", "start_sync", "wait_for_agent"]
    assert isinstance(found.queue, QueueAtSite)


class FakeOrthanc:
    """Only its address and login are read."""

    url, user, password = "http://127.0.0.1:1", "lab", "secret"


@pytest.fixture
def servers(tmp_path: Path) -> DemoServers:
    """Of which nothing runs yet."""
    return DemoServers(
        ProcessSet(),
        FakeOrthanc(),  # type: ignore[arg-type]
        Folders(tmp_path, tmp_path),
        profile="demo",
        queue=AT_SITE,
    )


@pytest.mark.process
def test_one_process_makes_tables_a_user_and_a_token(servers: DemoServers) -> None:
    address, token = servers.make_database_and_token()
    assert address == f"{servers.url}/api/mri/segmentation/queue"
    assert token.startswith("sgr_")
    assert [row["agent"] for row in servers.labseg("agent-token", "list")] == ["demo-lab"]
    with pytest.raises(DemoError, match="That username is already taken"):
        servers.make_database()


def test_an_agent_that_was_not_started_is_not_waited_for(servers: DemoServers) -> None:
    with pytest.raises(RuntimeError, match="start the agent first"):
        servers.wait_for_agent()
