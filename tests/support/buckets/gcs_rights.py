"""The rights of ``infra/gcs`` enforced on the strict fake: what is not granted answers 403.

An evaluator of its own for the part of IAM's condition language that the files use: a chain of
``||`` over ``startsWith`` and ``==`` on the resource's name and on the prefix of a listing.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.cloud import storage  # type: ignore[import-untyped]

from infra.fake_gcs.api import Api
from infra.fake_gcs.errors import ApiError
from infra.fake_gcs.faults import Fault, Faults
from infra.fake_gcs.http import HttpServer, Service
from infra.fake_gcs.messages import Answer, Request, parse_document
from infra.fake_gcs.preconditions import NO_CONDITIONS, Conditions
from infra.fake_gcs.routes import Call, find_route
from infra.fake_gcs.store import Place, Store
from infra.fake_gcs.uploads import split_multipart
from segrelay.bucket.gcs import GcsBucket
from tests.support.buckets.gcs import BUCKET, FIRST_PAUSE, make_client

ROLE_HEADER = "x-segrelay-role"

_NAME = re.compile(r'resource\.name(?:\.startsWith\("(?P<starts>[^"]+)"\)| == "(?P<is>[^"]+)")')
_LISTED = re.compile(
    r'api\.getAttribute\("storage\.googleapis\.com/objectListPrefix", ""\)'
    r'\.startsWith\("(?P<starts>[^"]+)"\)'
)
_PERMISSIONS = {
    "list": "list",
    "get": "get",
    "download": "get",
    "patch": "update",
    "update": "update",
    "delete": "delete",
}
"""Operations of the API that need one permission on what their path names."""


@dataclass(frozen=True)
class Need:
    """One permission that a request needs."""

    permission: str
    """Such as ``storage.objects.get``."""
    resource: str
    """``projects/_/buckets/BUCKET``, with ``/objects/NAME`` for an object."""
    listed: str = ""
    """The prefix of a listing."""


@dataclass(frozen=True)
class Clause:
    """One alternative of a condition."""

    text: str
    on_listing: bool
    starts: str | None
    equals: str | None

    @classmethod
    def parse(cls, text: str) -> Clause:
        """Raises ValueError for what IAM does not support or this evaluator does not know."""
        for pattern in (_NAME, _LISTED):
            match = pattern.fullmatch(text)
            if match is not None:
                found = match.groupdict()
                return cls(text, pattern is _LISTED, found["starts"], found.get("is"))
        raise ValueError(f"not understood: {text}")

    def holds(self, need: Need) -> bool:
        """Whether the clause is true of a request."""
        value = need.listed if self.on_listing else need.resource
        return value == self.equals if self.starts is None else value.startswith(self.starts)


@dataclass(frozen=True)
class Grant:
    """A role with its condition, as bound to one account."""

    permissions: frozenset[str]
    clauses: tuple[Clause, ...]


def read_grants(folder: Path, who: str, listing: str) -> list[Grant]:
    """The bindings of one account, from files that the set-up script has filled in.

    ``listing`` is the name of the listing's condition: ``list`` or ``list-bucket``.
    """
    grants = []
    for role in sorted(folder.glob("segrelay*.yaml")):
        verb = role.stem.removeprefix("segrelay").lower()
        condition = folder / f"{who}-{listing if verb == 'list' else verb}.json"
        if condition.exists():
            expression = json.loads(condition.read_text())["expression"]
            clauses = tuple(Clause.parse(part) for part in expression.split(" || "))
            grants.append(Grant(frozenset(read_permissions(role)), clauses))
    return grants


def read_permissions(role: Path) -> list[str]:
    """The permissions of a custom role."""
    return re.findall(r"^  - (\S+)$", role.read_text(), re.MULTILINE)


@dataclass
class CircuitBreaker:
    """Answers for the fake, but only what the sender's role may ask.

    Parameters
    ----------
    hides_missing:
        Answer 403 instead of 404 for a missing object to whoever may not list the bucket.
    rights_first:
        Look at the right to overwrite before any condition of the request.
    """

    store: Store
    grants: Mapping[str, list[Grant]]
    hides_missing: bool = False
    rights_first: bool = False
    used: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """By role: permission and clause, of every grant that was needed so far."""
    denied: list[tuple[str, Need]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._service = Service(Api(self.store), Faults())
        self._lock = threading.Lock()

    def answer(self, request: Request) -> tuple[Answer | None, Fault | None]:
        """As :class:`~infra.fake_gcs.http.Service`."""
        role = request.headers.get(ROLE_HEADER, "")
        try:
            call = find_route(request)
        except ApiError:
            return self._service.answer(request)
        for need in self._needs(call, request):
            if not self.allows(role, need):
                with self._lock:
                    self.denied.append((role, need))
                return _forbidden(f"{need.permission} denied on {need.resource}"), None
        answer, fault = self._service.answer(request)
        if answer is not None and answer.status == 404 and self._hides(role, call):
            return _forbidden("(or it may not exist)"), fault
        return answer, fault

    def allows(self, role: str, need: Need) -> bool:
        """Whether a role has a permission; notes what granted it."""
        for grant in self.grants.get(role, ()):
            if need.permission not in grant.permissions:
                continue
            for clause in grant.clauses:
                if clause.holds(need):
                    with self._lock:
                        self.used.setdefault(role, set()).add((need.permission, clause.text))
                    return True
        return False

    def _hides(self, role: str, call: Call) -> bool:
        bucket = f"projects/_/buckets/{call.names.get('bucket', '')}"
        return self.hides_missing and not self.allows(role, Need("storage.objects.list", bucket))

    def _needs(self, call: Call, request: Request) -> Iterator[Need]:
        bucket = call.names.get("bucket", "")
        if call.operation == "upload":
            yield from self._needs_of_writing(bucket, _uploaded_name(request), request)
        elif call.operation == "move":
            yield _need("move", bucket, call.names["object"])
            yield from self._needs_of_writing(bucket, call.names["target"], request)
        elif call.operation in ("copy", "rewrite"):
            yield _need("get", bucket, call.names["object"])
            target = call.names["target_bucket"]
            yield from self._needs_of_writing(target, call.names["target"], request)
        elif call.operation == "list":
            resource = f"projects/_/buckets/{bucket}"
            yield Need("storage.objects.list", resource, request.query.get("prefix", ""))
        elif call.operation in _PERMISSIONS:
            yield _need(_PERMISSIONS[call.operation], bucket, call.names["object"])
        elif call.operation != "resume-upload":
            yield Need(f"storage.buckets.{call.operation}", f"projects/_/buckets/{bucket}")

    def _needs_of_writing(self, bucket: str, name: str, request: Request) -> Iterator[Need]:
        yield _need("create", bucket, name)
        place = Place(bucket, name)
        try:
            self.store.get(place, NO_CONDITIONS)
            if not self.rights_first:
                self.store.check(place, Conditions.from_query(request.query))
        except ApiError:
            # Nothing is there, or a condition refuses the request before anything is replaced.
            return
        yield _need("delete", bucket, name)


class GuardedGcs:
    """The strict fake behind a guard, on loopback; a context manager."""

    def __init__(
        self,
        grants: Mapping[str, list[Grant]],
        *,
        hides_missing: bool = False,
        rights_first: bool = False,
    ) -> None:
        self.guard = CircuitBreaker(Store([BUCKET]), grants, hides_missing, rights_first)
        self._server = HttpServer(self.guard, 0)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._buckets: list[GcsBucket] = []

    def __enter__(self) -> GuardedGcs:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for bucket in self._buckets:
            bucket.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def client(self, role: str) -> storage.Client:
        """A client whose every request says in which role it is sent."""
        client = make_client(self._server.url)
        client._http.headers[ROLE_HEADER] = role
        return client

    def bucket(self, role: str, prefix: str) -> GcsBucket:
        """The queue as one account sees it."""
        bucket = GcsBucket(
            self.client(role), BUCKET, prefix, deadline=20.0, first_pause=FIRST_PAUSE
        )
        self._buckets.append(bucket)
        return bucket


def _need(verb: str, bucket: str, name: str) -> Need:
    return Need(f"storage.objects.{verb}", f"projects/_/buckets/{bucket}/objects/{name}")


def _uploaded_name(request: Request) -> str:
    if "name" in request.query:
        return request.query["name"]
    if request.query.get("uploadType") != "multipart":
        return str(parse_document(request.body)["name"])
    (_, document), _ = split_multipart(request.body, request.headers["content-type"])
    return str(parse_document(document)["name"])


def _forbidden(message: str) -> Answer:
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    return Answer(status=403, headers=headers, body=ApiError(403, "forbidden", message).body())
