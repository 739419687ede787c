"""Orthanc: whether the way to it is safe, whether it lets this side in, and how fast it is."""

from __future__ import annotations

import contextlib
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from lab_side.doctor.certificate import judge_certificate
from lab_side.doctor.clock import judge_clock
from lab_side.doctor.finding import Finding, Verdict, failed
from lab_side.doctor.instance import make_instance
from segrelay.errors import SegRelayError
from segrelay.manifest import utc_now
from segrelay.orthanc import OrthancClient, OrthancSettings, answers
from segrelay.orthanc.tls import client_context

TIMEOUT_S, RETRIES = 15.0, 1
"""For each request: an operator waits."""

ASKED = 5
"""Requests whose median is the latency."""

LONGEST_FETCH_S, MOST_BYTES = 3.0, 16 * 10**6
"""What is fetched to measure the line."""

FEWEST_BYTES = 50_000
"""Below, it is the latency that is measured."""

STUDY_BYTES = 72 * 10**6
"""Four series of a brain: 620 slices."""

SLOW_BYTES_S = 10**6
"""At less, a study takes longer than a minute; at a tenth, the line is no use."""

_OVERWRITES = "overwriting in Orthanc"
_KEEP = 'Set "OverwriteInstances": false in Orthanc\'s configuration, and restart it.'


@dataclass(frozen=True)
class Answered:
    """Orthanc's answer about itself."""

    system: Mapping[str, Any]
    clock_offset_s: float | None
    """How far its clock is ahead; None where it reported no time."""


def examine_orthanc(settings: OrthancSettings, *, write: bool = False) -> Iterator[Finding]:
    """Every check of Orthanc; nothing more once it does not answer.

    ``write``: also store a tiny instance, and delete it again.
    """
    yield check_way(settings)
    limited = {"connect_timeout": TIMEOUT_S, "read_timeout": TIMEOUT_S, "retries": RETRIES}
    try:
        client = OrthancClient(settings.model_copy(update=limited))
    except SegRelayError as error:
        yield failed("Orthanc answers", error)
        return
    with contextlib.closing(client):
        try:
            answered = ask(client)
        except SegRelayError as error:
            yield failed("Orthanc answers", error)
            return
        version = answered.system.get("Version", "of unknown version")
        yield Finding.ok("Orthanc answers", f"Orthanc {version}")
        if settings.url.startswith("https:"):
            yield check_certificate(settings, utc_now())
        yield judge_clock("clock of Orthanc", answered.clock_offset_s, "Orthanc's server")
        yield check_overwriting(answered.system)
        yield check_reading(client)
        yield check_line(client)
        if write:
            yield check_writing(client)


def check_way(settings: OrthancSettings) -> Finding:
    """Report how requests go to Orthanc, and as whom."""
    check = "way to Orthanc"
    detail = "; ".join(_way(settings))
    if settings.is_exposed:
        return Finding.warning(
            check,
            detail,
            "Use https; with allow_plain_http everybody on the way reads password and "
            "images, unless a VPN protects it.",
        )
    return Finding.ok(check, detail)


def ask(client: OrthancClient) -> Answered:
    """Check whether Orthanc answers, and takes the credentials; raises what says why not."""
    asked = utc_now()
    with client.transport.stream("GET", "/system") as response:
        date = response.headers.get("Date")
        for _ in client.transport.pieces(response):
            pass
    answered = utc_now()
    return Answered(client.system(), _offset(date, asked, answered))


def check_certificate(settings: OrthancSettings, now: datetime) -> Finding:
    """Check how long the server's certificate, already trusted, is still valid."""
    check = "certificate of Orthanc"
    if settings.proxy:
        detail = "not asked for over a proxy; it is valid now"
        return Finding.not_known(check, detail)
    parts = urlsplit(settings.url)
    place = parts.hostname or "", parts.port or 443
    return judge_certificate(check, place, lambda: client_context(settings), now, timeout=TIMEOUT_S)


def check_overwriting(system: Mapping[str, Any]) -> Finding:
    """With overwriting on, a second upload would change a SEG that a result names."""
    reported = system.get("OverwriteInstances")
    if not isinstance(reported, bool):
        return Finding.not_known(
            _OVERWRITES,
            "this version of Orthanc does not say",
            "lab-agent doctor --write finds out.",
        )
    return _overwrites() if reported else Finding.ok(_OVERWRITES, "off")


def check_reading(client: OrthancClient) -> Finding:
    """Check whether this user may find series, list one and open a file of it."""
    check = "reading from Orthanc"
    try:
        series = _some_series(client)
        for instance in client.inventory(series[:1])[:1] if series else ():
            with client.instance_pieces(instance.orthanc_id) as pieces:
                next(iter(pieces), None)
    except SegRelayError as error:
        return failed(check, error)
    if not series:
        return Finding.ok(check, "allowed; no MR series is there yet")
    return Finding.ok(check, "a series was listed, and a file of it opened")


def check_line(client: OrthancClient, monotonic: Callable[[], float] = time.monotonic) -> Finding:
    """Latency, and the speed of one connection."""
    check = "line to Orthanc"
    try:
        latency = _latency(client, monotonic)
        size, seconds = _fetch(client, monotonic)
    except SegRelayError as error:
        return failed(check, error)
    asked = f"{latency * 1000:.0f} ms for a request"
    if size < FEWEST_BYTES:
        return Finding.ok(check, f"{asked}; too few images are there to measure the speed")
    speed = size / max(seconds, 1e-6)
    detail = f"{asked}, {speed * 8 / 10**6:.1f} Mbit/s over one connection"
    if speed >= SLOW_BYTES_S:
        return Finding.ok(check, detail)
    return Finding(
        check=check,
        verdict=Verdict.WARNING if speed >= SLOW_BYTES_S / 10 else Verdict.FAILED,
        detail=f"{detail}: a study of 72 MB takes {STUDY_BYTES / speed / 60:.0f} min",
        remedy="Look for what slows the line (VPN, proxy, wireless, other transfers); several "
        "connections may be faster: orthanc.connections.",
        code="line-slow",
        will_pass=True,
    )


def check_writing(client: OrthancClient) -> Finding:
    """Really store a tiny instance, twice with other bytes, and delete it again."""
    check = "writing to Orthanc"
    first, second = make_instance(0), make_instance(1)
    try:
        stored = client.upload(first)
        kept = client.instance_file(stored.orthanc_id)
        if kept not in (first, second):
            return Finding.failure(
                check,
                detail="what was stored reads back as other bytes",
                remedy="Look for a plug-in or script of Orthanc that changes what comes in, and "
                "exempt SEGs from it.",
                code="orthanc-changes",
            )
        client.upload(second if kept == first else first)
        is_kept = client.instance_md5(stored.orthanc_id) == _md5(kept)
    except SegRelayError as error:
        return failed(check, error)
    if not is_kept:
        with contextlib.suppress(SegRelayError):
            client.delete_instance(stored.orthanc_id)
        return _overwrites()
    try:
        client.delete_instance(stored.orthanc_id)
    except SegRelayError as error:
        return Finding.warning(
            check,
            detail=f"stored and read back, but not deleted: {error.message}",
            remedy="A SEG of a job that is cancelled late will stay. Delete the patient "
            "SEGRELAY-DOCTOR in Orthanc, or leave it: there is never more than one.",
            code=error.code,
        )
    return Finding.ok(check, "stored, read back, not overwritten, and deleted again")


def _some_series(client: OrthancClient) -> list[str]:
    body = {"Level": "Series", "Limit": 1, "Query": {"Modality": "MR"}}
    return list(
        answers.ids(client.transport.call_json("POST", "/tools/find", body=body), "a search")
    )


def _latency(client: OrthancClient, monotonic: Callable[[], float]) -> float:
    took = []
    for _ in range(ASKED):
        began = monotonic()
        client.system()
        took.append(monotonic() - began)
    return statistics.median(took)


def _fetch(client: OrthancClient, monotonic: Callable[[], float]) -> tuple[int, float]:
    """Bytes that came, and the seconds that they took."""
    series = _some_series(client)
    instances = client.inventory(series) if series else []
    size, began = 0, monotonic()
    for instance in instances:
        with client.instance_pieces(instance.orthanc_id) as pieces:
            for piece in pieces:
                size += len(piece)
                if size >= MOST_BYTES or monotonic() - began >= LONGEST_FETCH_S:
                    return size, monotonic() - began
    return size, monotonic() - began


def _offset(date: str | None, asked: datetime, answered: datetime) -> float | None:
    """Seconds by which the server's clock is ahead; it reports whole seconds."""
    try:
        there = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return None
    middle = (asked.timestamp() + answered.timestamp()) / 2
    return there + 0.5 - middle


def _overwrites() -> Finding:
    return Finding.failure(
        _OVERWRITES,
        detail="on: a second upload would change a SEG that a result names",
        remedy=_KEEP,
        code="orthanc-overwrites",
    )


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _way(settings: OrthancSettings) -> Iterator[str]:
    if settings.url.startswith("https:"):
        whom = "public authorities" if settings.ca_file is None else str(settings.ca_file)
        yield f"TLS, trusting {whom}"
        if settings.client_cert is not None:
            yield f"client certificate {settings.client_cert}"
    elif settings.is_exposed:
        yield "plain http to another machine, not encrypted"
    else:
        yield "plain http within this machine"
    if settings.proxy:
        yield f"over the proxy {urlsplit(settings.proxy).netloc}"
    if settings.token.get_secret_value():
        yield "with a token"
    else:
        yield f"as user {settings.user}" if settings.user else "without user or token"
