"""Signed documents: an envelope over a document's exact bytes, Ed25519 (RFC 8032).

::

    {"segrelay_signed": 1, "kind": "job", "key": "3f2a…", "signature": "…", "payload": "{…}"}

What is signed is the envelope's version, the kind and the payload, so that a job can never be
shown as a result. The payload stays readable text: ``gsutil cat`` still shows what a job is.
Keys travel as text: 32 bytes in URL-safe base64.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from pydantic import BaseModel, ConfigDict, Field

from segrelay.errors import FixConfigurationError, ManifestRejectedError
from segrelay.parsing.documents import model_of
from segrelay.parsing.json_reader import JsonLimits, UnreadableJsonError, read_json_object
from segrelay.parsing.validation import form

_KEY_BYTES = 32
_MARK = "segrelay_signed"


class Kind(StrEnum):
    """The kind of a signed document."""

    JOB = "job"
    RESULT = "result"
    ATTEMPT = "attempt"
    PROGRESS = "progress"
    REASON = "reason"
    HEARTBEAT = "beat"


RECORDS = (Kind.ATTEMPT, Kind.PROGRESS, Kind.REASON, Kind.HEARTBEAT)
"""What is written beside a job or of an agent; signed together with its object's name."""


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    segrelay_signed: Literal[1] = 1
    kind: Kind
    key: Annotated[str, form(r"^[0-9a-f]{16}$", "16 hexadecimal digits")]
    """Says which key to try; proves nothing."""
    signature: Annotated[str, Field(max_length=128)]
    """64 bytes in base64."""
    payload: str

    def signed_bytes(self, name: str) -> bytes:
        """Return what the signature covers; ``name`` is the object's, of a record, else empty."""
        return signed_bytes(self.kind, name, self.payload)


@dataclass(frozen=True)
class PublicKey:
    """Whom to believe; safe to show."""

    raw: bytes

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Read a key; raises FixConfigurationError ``key-invalid``."""
        return cls(_key_bytes(text, "public key"))

    @property
    def text(self) -> str:
        """The key as settings hold it."""
        return _as_text(self.raw)

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits that name the key."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def has_signed(self, data: bytes, signature: str) -> bool:
        """Return whether the signature (base64) of ``data`` is this key's."""
        try:
            raw = base64.b64decode(signature, validate=True)
            Ed25519PublicKey.from_public_bytes(self.raw).verify(raw, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A secret key."""

    raw: bytes = field(repr=False)

    @classmethod
    def new(cls) -> SigningKey:
        """A random key."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_text(cls, text: str) -> SigningKey:
        """Read a key; raises FixConfigurationError ``key-invalid``, which never shows it."""
        return cls(_key_bytes(text, "signing key"))

    @property
    def text(self) -> str:
        """The secret, as the environment or a keyring holds it."""
        return _as_text(self.raw)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        key = Ed25519PrivateKey.from_private_bytes(self.raw)
        return PublicKey(key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Sign bytes; returns 64 bytes (Ed25519, RFC 8032)."""
        return Ed25519PrivateKey.from_private_bytes(self.raw).sign(data)

    def signature_of(self, data: bytes) -> str:
        """The signature in base64."""
        return base64.b64encode(self.sign(data)).decode()


@dataclass(frozen=True)
class Trust:
    """Whose documents are believed, by kind; a kind without keys is believed unsigned."""

    keys: Mapping[Kind, tuple[PublicKey, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        jobs: Iterable[PublicKey] = (),
        results: Iterable[PublicKey] = (),
        records: Iterable[PublicKey] = (),
    ) -> Trust:
        """Keys for jobs, results and all :data:`RECORDS`."""
        keys = {Kind.JOB: tuple(jobs), Kind.RESULT: tuple(results)}
        return cls({**keys, **dict.fromkeys(RECORDS, tuple(records))})

    def of_kind(self, kind: Kind) -> tuple[PublicKey, ...]:
        """The keys for one kind."""
        return self.keys.get(kind, ())


def signed_bytes(kind: Kind, name: str, text: str) -> bytes:
    """What a signature covers: the kind, the object's name where it is given, and the text."""
    bound = f"{name}\n" if name else ""
    return f"segrelay-signed-1\n{kind.value}\n{bound}{text}".encode()


def seal(data: bytes, kind: Kind, key: SigningKey, *, name: str = "") -> bytes:
    """Put a document (UTF-8 text) into a signed envelope; the same bytes every time.

    ``name`` binds it to its object: elsewhere the signature is wrong.
    """
    unsigned = _Envelope(kind=kind, key=key.public.key_id, signature="", payload=data.decode())
    signature = key.signature_of(unsigned.signed_bytes(name))
    return unsigned.model_copy(update={"signature": signature}).model_dump_json(indent=1).encode()


def open_envelope(data: bytes, kind: Kind, trust: Trust, *, name: str = "") -> bytes:
    """The document itself, once its signature is trusted.

    A document without an envelope is returned as it is where no keys are configured for its
    kind; an envelope is then opened without checking its signature.

    Raises
    ------
    ManifestRejectedError
        ``unsigned``, ``signature-wrong`` (also: signed as another kind, altered) or
        ``key-unknown``.
    """
    keys = trust.of_kind(kind)
    envelope = _envelope(data)
    if envelope is None:
        if keys:
            raise ManifestRejectedError(
                f"The {kind.value} is not signed.",
                code="unsigned",
                remedy="Give its writer a signing key, and its reader that key's public half.",
            )
        return data
    if keys:
        _check(envelope, kind, keys, name)
    return envelope.payload.encode()


def _check(envelope: _Envelope, kind: Kind, keys: tuple[PublicKey, ...], name: str) -> None:
    named = [key for key in keys if key.key_id == envelope.key]
    if not named:
        raise ManifestRejectedError(
            f"The {kind.value} is signed with key {envelope.key}, which is not trusted here.",
            code="key-unknown",
            remedy="Add the writer's public key to the trusted ones, if you know the writer.",
        )
    data, signature = envelope.signed_bytes(name), envelope.signature
    if envelope.kind is not kind or not any(key.has_signed(data, signature) for key in named):
        raise ManifestRejectedError(
            f"The signature of the {kind.value} is wrong: it was altered.",
            code="signature-wrong",
            remedy="Find out who can write to the bucket; submit the job again.",
        )


def _envelope(data: bytes) -> _Envelope | None:
    """The envelope, or None where the bytes are something else."""
    limits = JsonLimits(
        size_bytes=len(data), depth=1, values=20, text_characters=len(data), allows_nul=True
    )
    try:
        document = read_json_object(data, limits)
        return model_of(_Envelope, document) if _MARK in document else None
    except UnreadableJsonError:
        return None


def _key_bytes(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip().encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise FixConfigurationError(
            f"A {what} is not 32 bytes in URL-safe base64.",
            code="key-invalid",
            remedy="Make a pair with: lab-agent keygen",
        )
    return raw


def _as_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()
