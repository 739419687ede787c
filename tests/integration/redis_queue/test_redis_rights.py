"""A user of a Redis whose rights lack one command: each operation is done, or changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
import redis

from infra.servers.redis import RedisServer
from segrelay.bucket.redis import RedisBucket
from segrelay.bucket.redis_answers import explain
from segrelay.errors import FixConfigurationError
from tests.support.buckets.redis import fresh_address, keys_as_kept, redis_bucket
from tests.support.paths import ROOT

PASSWORD = "p-of-lab"
LINE = re.search(r"ACL SETUSER lab (on .*)", (ROOT / "infra" / "OPERATIONS.md").read_text())
assert LINE is not None
WORDS = LINE[1].replace("PASSWORD", PASSWORD).replace("segrelay:", "").split()
COMMANDS = [word for word in WORDS if word.startswith("+")]
"""What the documents let a user do."""

OPERATIONS: dict[str, Callable[[RedisBucket], object]] = {
    "create": lambda bucket: bucket.create("new", b"1"),
    "replace": lambda bucket: bucket.replace("beat", b"1"),
    "move": lambda bucket: bucket.move("a", "b", generation=bucket.stat("a").generation),
    "delete": lambda bucket: bucket.delete("a", generation=bucket.stat("a").generation),
    "take over": lambda bucket: bucket.take_over("fresh", {"x": "1"}, generation=0),
    "refresh": lambda bucket: bucket.refresh(
        "beat", {"x": "2"}, generation=bucket.stat("beat").generation
    ),
    "create unless": lambda bucket: bucket.create_unless("new", b"1", other="other"),
    "move and read": lambda bucket: bucket.move_and_read(
        "a", "b", generation=bucket.stat("a").generation, limit=9, other="other"
    ),
    "create and move": lambda bucket: bucket.create_and_move(
        "new", b"1", source="a", destination="b", other="other"
    ),
}


@pytest.mark.parametrize("missing", COMMANDS)
def test_a_right_that_is_missing_leaves_nothing_half_done(
    server: RedisServer, missing: str
) -> None:
    address = fresh_address(server.address)
    with closing(server.client()) as admin, closing(redis_bucket(address)) as whole:
        rights = ["~*" if word.startswith("~") else word for word in WORDS if word != missing]
        rights = ["&*" if word.startswith("&") else word for word in rights]
        admin.execute_command("ACL", "SETUSER", "lab", *rights)
        limited = redis_bucket(address.replace("://", "://lab@"), PASSWORD, deadline=0.2)
        with closing(limited):
            for act in OPERATIONS.values():
                _fill(whole)
                before = keys_as_kept(admin)
                with suppress(FixConfigurationError):
                    act(limited)
                    continue
                assert keys_as_kept(admin) == before
                listed = {info.name for info in whole.list("")}
                assert listed == {"a", "beat"}
        admin.acl_deluser("lab")


def test_the_missing_command_is_named_where_the_redis_names_it() -> None:
    text = "ACL failure in script: User lab has no permissions to run the 'config|get' command"
    error = explain(redis.ResponseError(text), "redis://r/0/segrelay")
    assert error.code == "bucket-forbidden"
    assert "the command config|get" in error.message


def _fill(bucket: RedisBucket) -> None:
    for info in bucket.list(""):
        bucket.delete(info.name, generation=info.generation)
    bucket.create("a", b"1")
    bucket.take_over("beat", {"x": "1"}, generation=0)
