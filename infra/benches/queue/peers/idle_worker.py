"""A worker of another queue over Redis, by its library's own means, with nothing to do.

``python -m infra.benches.queue.peers.idle_worker KIND ADDRESS`` prints ``null`` and runs until it
is ended. Imported only where the peers are installed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from infra.benches.queue.contender import RESULT

QUEUE = "bench"


async def segment(context: Any, job: str) -> str:  # noqa: ARG001
    """The work: none."""
    return RESULT


def rq(address: str) -> None:
    """As ``rq worker``."""
    import redis
    from rq import Queue, SimpleWorker  # type: ignore[import-not-found]

    connection = redis.Redis.from_url(address)
    SimpleWorker([Queue(QUEUE, connection=connection)], connection=connection).work(
        logging_level="ERROR"
    )


def saq(address: str) -> None:
    """As ``saq module.settings``, for one job at a time."""
    from saq import Queue, Worker  # type: ignore[import-not-found]

    async def run() -> None:
        queue = Queue.from_url(address, name=QUEUE)
        await queue.connect()
        await Worker(queue, functions=[("segment", segment)], concurrency=1).start()

    asyncio.run(run())


def arq(address: str) -> None:
    """As ``arq module.WorkerSettings``."""
    from arq import func  # type: ignore[import-not-found]
    from arq.connections import RedisSettings  # type: ignore[import-not-found]
    from arq.worker import Worker  # type: ignore[import-not-found]

    asyncio.set_event_loop(asyncio.new_event_loop())
    Worker([func(segment)], redis_settings=RedisSettings.from_dsn(address)).run()


def dramatiq(address: str) -> None:
    """As ``dramatiq module --processes 1 --threads 1``."""
    import time

    import dramatiq as library  # type: ignore[import-not-found]
    from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]

    broker = RedisBroker(url=address)
    library.actor(print, broker=broker, actor_name="segment", queue_name=QUEUE)
    library.Worker(broker, worker_threads=1).start()
    while True:
        time.sleep(60)


def huey(address: str) -> None:
    """As ``huey_consumer module.huey``."""
    from huey import RedisHuey  # type: ignore[import-not-found]

    RedisHuey(QUEUE, url=address).create_consumer(workers=1).run()


WORKERS: dict[str, Callable[[str], None]] = {
    "rq": rq,
    "saq": saq,
    "arq": arq,
    "dramatiq": dramatiq,
    "huey-redis": huey,
}

if __name__ == "__main__":
    print("null", flush=True)
    WORKERS[sys.argv[1]](sys.argv[2])
