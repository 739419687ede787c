"""Job queues over Redis as contenders: each with its own calls, or with its worker's own steps.

All are at one Redis that writes each change to the disk before it acknowledges it.

===========  ==================================================================================
rq           ``enqueue``; a worker's ``dequeue_any`` and ``perform_job``, in the worker's process
saq          ``enqueue``; ``dequeue``, ``update`` to active, ``finish``
arq          ``enqueue_job``; one turn of its worker, which starts the job; the job's end
dramatiq     ``enqueue``; the broker's consumer with a prefetch of one; result back end, ``ack``
huey         ``RedisStorage``: taking a job deletes it, so a worker that dies loses it
===========  ==================================================================================

Results are kept as each does by default. Imported only where these packages are installed, in a
venv of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from infra.benches.queue.contender import JOB, RESULT, Contender
from infra.benches.queue.peers.huey_storage import HueyStorage

QUEUE = "bench"

WAIT_S = 30
"""How long a worker waits for a job at most."""

T = TypeVar("T")


def segment(job: str) -> str:  # noqa: ARG001
    """The work: none."""
    return RESULT


class Rq(Contender):
    """rq with the worker that runs jobs in its own process."""

    def __init__(self, address: str) -> None:
        import redis
        import rq  # type: ignore[import-not-found]

        logging.getLogger("rq.worker").setLevel(logging.ERROR)
        self._connection = redis.Redis.from_url(address)
        self._queue = rq.Queue(QUEUE, connection=self._connection)
        self._worker = rq.SimpleWorker([self._queue], connection=self._connection)
        self._in_hand: Any = None

    def submit(self) -> None:
        self._queue.enqueue(segment, JOB)

    def claim(self) -> None:
        self._take(None)

    def wait_and_claim(self) -> None:
        self._take(WAIT_S)

    def finish(self) -> None:
        """What rq does around the work, the work, its result."""
        job, queue = self._in_hand
        if not self._worker.perform_job(job, queue, self._worker.prepare_execution(job)):
            raise RuntimeError("the job failed")

    def _take(self, timeout: int | None) -> None:
        self._in_hand = self._queue.dequeue_any([self._queue], timeout, connection=self._connection)
        if self._in_hand is None:
            raise RuntimeError("no job waits")


class _Asynchronous(Contender):
    """A queue of coroutines, with a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def _run(self, call: Awaitable[T]) -> T:
        return self._loop.run_until_complete(call)


class Saq(_Asynchronous):
    """saq's queue."""

    def __init__(self, address: str) -> None:
        super().__init__()
        from saq import Queue, Status  # type: ignore[import-not-found]

        self._queue = Queue.from_url(address, name=QUEUE)
        self._run(self._queue.connect())
        self._status = Status
        self._in_hand: Any = None

    def submit(self) -> None:
        self._run(self._queue.enqueue("segment", job=JOB))

    def claim(self) -> None:
        self._run(self._take())

    def wait_and_claim(self) -> None:
        self.claim()

    def finish(self) -> None:
        self._run(self._in_hand.finish(self._status.COMPLETE, result=RESULT))

    async def _take(self) -> None:
        job = self._in_hand = await self._queue.dequeue(timeout=WAIT_S)
        if job is None:
            raise RuntimeError("no job waits")
        await job.update(status=self._status.ACTIVE)


class Arq(_Asynchronous):
    """arq's worker, one turn at a time."""

    def __init__(self, address: str) -> None:
        super().__init__()
        from arq import Worker, create_pool, func  # type: ignore[import-not-found]
        from arq.connections import RedisSettings  # type: ignore[import-not-found]

        logging.getLogger("arq").setLevel(logging.ERROR)
        self._begun, self._ended = asyncio.Event(), asyncio.Event()
        asyncio.set_event_loop(self._loop)
        self._pool = self._run(create_pool(RedisSettings.from_dsn(address)))
        self._worker = Worker(
            [func(self._segment, name="segment")],
            redis_pool=self._pool,
            max_jobs=1,
            handle_signals=False,
        )

    def submit(self) -> None:
        self._run(self._pool.enqueue_job("segment", JOB))

    def claim(self) -> None:
        self._run(self._turn())

    def wait_and_claim(self) -> None:
        """As its worker waits: a look every half second."""
        self._run(self._wait())

    def finish(self) -> None:
        """Let the work end."""
        self._run(self._end())

    async def _segment(self, context: object, job: str) -> str:  # noqa: ARG002
        self._begun.set()
        await self._ended.wait()
        return RESULT

    async def _turn(self) -> None:
        await self._worker._poll_iteration()
        if not self._worker.tasks:
            raise RuntimeError("no job waits")
        await self._begun.wait()

    async def _wait(self) -> None:
        while True:
            await self._worker._poll_iteration()
            if self._worker.tasks:
                await self._begun.wait()
                return
            await asyncio.sleep(self._worker.poll_delay_s)

    async def _end(self) -> None:
        self._ended.set()
        await asyncio.gather(*self._worker.tasks.values())
        self._worker.tasks.clear()
        self._begun.clear()
        self._ended.clear()


class Dramatiq(Contender):
    """dramatiq's broker with its results."""

    def __init__(self, address: str) -> None:
        import dramatiq  # type: ignore[import-not-found]
        from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]
        from dramatiq.results import Results  # type: ignore[import-not-found]
        from dramatiq.results.backends import RedisBackend  # type: ignore[import-not-found]

        self._backend = RedisBackend(url=address)
        broker = RedisBroker(url=address, middleware=[Results(backend=self._backend)])
        actor = dramatiq.actor(
            segment, broker=broker, actor_name="segment", queue_name=QUEUE, store_results=True
        )
        self._make: Callable[[str], Any] = actor.message
        self._broker = broker
        self._consumer = broker.consume(QUEUE, prefetch=1, timeout=1000)
        self._in_hand: Any = None

    def submit(self) -> None:
        self._broker.enqueue(self._make(JOB))

    def claim(self) -> None:
        self._in_hand = next(self._consumer)
        if self._in_hand is None:
            raise RuntimeError("no job waits")

    def wait_and_claim(self) -> None:
        """As its worker waits: it looks, and sleeps up to a second between two looks."""
        self._in_hand = None
        while self._in_hand is None:
            self._in_hand = next(self._consumer)

    def finish(self) -> None:
        """Ten minutes are its default for results."""
        self._backend.store_result(self._in_hand, RESULT, 600_000)
        self._consumer.ack(self._in_hand)


class HueyRedis(HueyStorage):
    """huey's storage in Redis."""

    def __init__(self, address: str) -> None:
        from huey.storage import RedisStorage  # type: ignore[import-not-found]

        super().__init__(RedisStorage(name=QUEUE, url=address, read_timeout=WAIT_S))

    def wait_and_claim(self) -> None:
        self.claim()


REDIS_PEERS: dict[str, Callable[[str], Contender]] = {
    "rq": Rq,
    "saq": Saq,
    "arq": Arq,
    "dramatiq": Dramatiq,
    "huey-redis": HueyRedis,
}
"""By the names under which they take part."""
