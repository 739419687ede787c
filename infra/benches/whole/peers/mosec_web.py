"""The web process before Mosec: hands a request on and waits, as a view of a site would.

It is as small as can be: a whole site would be counted against Mosec.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import requests

JOB_LIMIT_S = 900


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """WSGI: the body goes to Mosec (``BENCH_MOSEC``), its answer back."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(os.environ["BENCH_MOSEC"], data=body, timeout=JOB_LIMIT_S)
    start_response(f"{answer.status_code} {answer.reason}", [("Content-Type", "application/json")])
    return [answer.content]
