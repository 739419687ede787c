"""The model's third store: a real Redis, whose scripts read the model's clock.

Each script is a step of its own, and its request or its answer may get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import redis

from infra.servers.redis import RedisServer
from segrelay.bucket import Bucket
from segrelay.bucket.address import RedisAddress, parse_address
from segrelay.bucket.redis import RedisBucket, Values
from segrelay.bucket.redis_scripts import Script
from segrelay.errors import ObjectNotFoundError
from tests.support.simulator.stores import Surroundings
from tests.support.simulator.weather import Weather

CLOCK = "model:clock"
"""The key of the model's time, in microseconds since 1970."""

NEVER = float("inf")
"""When a bucket last removed what is too old: the model's time is long ago for the server."""

_SERVERS_TIME = """\
  local time = redis.call('TIME')
  return string.format('%d%06d', time[1], time[2])
"""
_MODELS_TIME = f"  return redis.call('GET', '{CLOCK}')\n"


@lru_cache(maxsize=100)
def timed(script: Script) -> str:
    """The script with the model's clock."""
    if _SERVERS_TIME not in script.text:
        raise AssertionError("the scripts ask for the time in another way now")
    return script.text.replace(_SERVERS_TIME, _MODELS_TIME)


class StagedRedis(RedisBucket):
    """One process's way to the Redis."""

    def __init__(
        self, address: RedisAddress, shared: RedisStore, pause: Callable[[], None], weather: Weather
    ) -> None:
        super().__init__(address, first_pause=0.0)
        self._shared = shared
        self._pause = pause
        self._weather = weather
        self._pruned_at = NEVER

    def _run(self, script: Script, keys: Sequence[str], values: Values) -> Any:
        self._pause()
        is_lost = self._weather.strikes()
        if is_lost and self._weather.chance.random() < 0.5:
            raise redis.ConnectionError("lost request")
        answer = self._shared.run(script, keys, values)
        if is_lost:
            raise redis.ConnectionError("lost answer")
        return answer


class RedisStore:
    """A Redis that nobody else uses; emptied first."""

    steps_of_a_call = 2

    def __init__(self, server: RedisServer, around: Surroundings) -> None:
        address = parse_address(server.address)
        assert isinstance(address, RedisAddress)
        self._address = address
        self._client = server.client()
        self._around = around
        self._outside = RedisBucket(address)
        self._outside._pruned_at = NEVER
        self._client.flushdb()

    def open(self, who: str) -> Bucket:
        """As the protocol."""
        return StagedRedis(self._address, self, self._around.pause, self._around.weather)

    def run(self, script: Script, keys: Sequence[str], values: Values) -> Any:
        """Run a script at the model's time."""
        is_move = "move()" in script.body
        live = self._client.hget(keys[1], "generation") if is_move else None
        self._client.set(CLOCK, int(self._around.clock.now().timestamp() * 1e6))
        answer = self._client.eval(timed(script), len(keys), *keys, *values)
        if is_move and live is not None and answer[0] == b"ok":
            self._around.moved(str(values[0]), str(values[1]), int(live))
        return answer

    def peek(self, name: str) -> bytes | None:
        """As the protocol."""
        try:
            return self._outside.read(name, limit=2**24)
        except ObjectNotFoundError:
            return None

    def names(self, prefix: str) -> list[str]:
        """As the protocol."""
        return [info.name for info in self._outside.list(prefix)]
