"""System checks of the queue that the site keeps (``"BUCKET": "database:"``), and of a Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register
from django.db import connections, router

from gcp_side.labseg.conf import get_conf, problems
from gcp_side.labseg.queue.access import get_bucket, own_bucket
from gcp_side.labseg.queue.rows import AgentToken, QueueChange, QueueObject
from segrelay.bucket import CheckedServer
from segrelay.bucket.address import RedisAddress, parse_address
from segrelay.errors import SegRelayError


@register()
def check_tables(**_: Any) -> list[CheckMessage]:
    """labseg.W013: the tables of the site's queue are missing; silent without a database."""
    if problems() or own_bucket() is None:
        return []
    alias = router.db_for_write(QueueObject)
    database: dict[str, Any] = settings.DATABASES[alias]
    # SQLite would make an empty file.
    if database["ENGINE"].endswith("sqlite3") and not Path(database["NAME"]).is_file():
        return []
    try:
        tables = set(connections[alias].introspection.table_names())
    except Exception:
        # No server, no driver, or code that may not ask: none is this check's matter.
        return []
    needed = {model._meta.db_table for model in (QueueObject, QueueChange, AgentToken)}
    if needed <= tables:
        return []
    return [
        Warning(
            'SEGRELAY["BUCKET"] is "database:", and the database has no tables for the queue.',
            hint="Run manage.py migrate.",
            id="labseg.W013",
        )
    ]


@register()
def check_connections(**_: Any) -> list[CheckMessage]:
    """labseg.W011: each request of an agent opens a connection to the database's server."""
    if problems() or own_bucket() is None:
        return []
    alias = router.db_for_write(QueueObject)
    database: dict[str, Any] = settings.DATABASES[alias]
    is_kept = database.get("CONN_MAX_AGE", 0) != 0 or "pool" in database.get("OPTIONS", {})
    if is_kept or database["ENGINE"].endswith("sqlite3"):
        return []
    return [
        Warning(
            f"The database {alias!r} is connected to for each request, also for those of the "
            "agents, which come every few seconds.",
            hint=f'Set DATABASES[{alias!r}]["CONN_MAX_AGE"] = 60 and "CONN_HEALTH_CHECKS" to True.',
            id="labseg.W011",
        )
    ]


@register(deploy=True)
def check_redis(**_: Any) -> list[CheckMessage]:
    """labseg.W012: the Redis that holds the queue may lose what it acknowledges, or refuses."""
    if problems() or not isinstance(parse_address(get_conf().bucket), RedisAddress):
        return []
    try:
        bucket = get_bucket()
        remarks = bucket.check_server() if isinstance(bucket, CheckedServer) else []
    except SegRelayError as error:
        return [Warning(error.message, hint=error.remedy, id="labseg.W012")]
    return [
        Warning(f"The queue: {remark.text}.", hint=remark.remedy, id="labseg.W012")
        for remark in remarks
    ]
