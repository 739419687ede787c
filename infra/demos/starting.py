"""The start of the demo's servers, side by side: Orthanc, the queue, the site and the agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from infra.demos.queue import (
    AT_SITE,
    QueueAtSite,
    RedisQueue,
    WatchedQueue,
    make_directory_queue,
    start_cloud_queue,
)
from infra.servers.orthanc import OrthancServer
from infra.servers.processes import ProcessSet
from infra.servers.site_and_agent import DemoServers, Folders


@dataclass(frozen=True)
class Started:
    """Servers that are ready for a job."""

    orthanc: OrthancServer
    servers: DemoServers
    queue: WatchedQueue | None
    """None where it is a directory, which is not watched."""


@contextmanager
def started_servers(queue: str, profile: str, folders: Folders) -> Iterator[Started]:
    """Start all, wait until the agent takes jobs; everything ends with the block.

    Parameters
    ----------
    queue:
        ``local``, ``site``, ``redis`` or ``gcs``.
    profile:
        Name of the one that the agent serves, from ``profiles`` of ``folders.state``.

    Raises
    ------
    DemoError
        One of them ended, or was not ready in time.
    FixConfigurationError
        Orthanc or the Redis did not start.
    """
    with ExitStack() as stack:
        orthanc = stack.enter_context(OrthancServer())
        processes = stack.enter_context(ProcessSet())
        watched: WatchedQueue | None = None
        environment: Mapping[str, str] = AT_SITE
        if queue == "redis":
            watched = redis = stack.enter_context(_redis())
            environment = redis.environment
        elif queue == "gcs":
            watched = cloud = start_cloud_queue(processes, folders.logs)
            environment = cloud.environment
        elif queue == "local":
            environment = make_directory_queue(folders.state / "bucket").environment
        servers = DemoServers(processes, orthanc, folders, profile=profile, queue=environment)
        if queue == "site":
            watched = at_site = QueueAtSite(*servers.make_database_and_token())
            # It asks for its queue until the site is there.
            servers.start_agent(at_site.environment)
        else:
            # The agent's start takes longest, and needs neither site nor database.
            servers.start_agent()
            servers.make_database()
        servers.start_site()
        servers.start_sync()
        servers.wait_for_agent()
        yield Started(orthanc, servers, watched)


@contextmanager
def _redis() -> Iterator[RedisQueue]:
    # Imported here: the package is an extra.
    from infra.servers.redis import RedisServer

    with RedisServer() as server:
        yield RedisQueue(server.address)
