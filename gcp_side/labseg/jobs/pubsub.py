"""Notifications of new objects in the bucket, pushed by Pub/Sub instead of being polled for.

Cloud Storage notifies a topic of every new object, and a push subscription hands that to the
site with a token of a service account. A notification is only a hint: what is true is read from the
bucket, as always.

https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
"""

from __future__ import annotations

import logging
import re
from typing import Any

from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request
from google.oauth2 import id_token
from requests import Session

from segrelay.errors import TransientError
from segrelay.http.no_netrc import ignore_netrc
from segrelay.names import RESULTS
from segrelay.ulid import ULID_PATTERN

logger = logging.getLogger(__name__)

_RESULT = re.compile(rf"(?:.*/)?{re.escape(RESULTS)}({ULID_PATTERN})\.json")


class PushKeysUnavailableError(TransientError):
    """The public keys that a token is checked with cannot be had now."""

    code = "push-keys"


def is_from_pubsub(token: str, *, audience: str, service_account: str) -> bool:
    """Whether ``token`` is a valid OIDC token of ``service_account``, made for ``audience``.

    Raises
    ------
    PushKeysUnavailableError
        Google's public keys cannot be fetched; Pub/Sub delivers again.
    """
    session = Session()
    ignore_netrc(session)
    try:
        claims = id_token.verify_oauth2_token(  # type: ignore[no-untyped-call]
            token, Request(session), audience
        )
    except TransportError:
        raise PushKeysUnavailableError("Google's public keys cannot be fetched.") from None
    except (GoogleAuthError, ValueError) as error:
        # The library's message quotes the token's claims: only the kind is logged.
        logger.warning("push refused: token not valid (%s)", type(error).__name__)
        return False
    if claims.get("email_verified") is True and claims.get("email") == service_account:
        return True
    logger.warning("push refused: token of another account")
    return False


def job_of(envelope: dict[str, Any]) -> str | None:
    """The job whose result a push names; None where it names anything else."""
    message = envelope.get("message")
    attributes = message.get("attributes") if isinstance(message, dict) else None
    if not isinstance(attributes, dict) or attributes.get("eventType") != "OBJECT_FINALIZE":
        return None
    name = attributes.get("objectId")
    match = _RESULT.fullmatch(name) if isinstance(name, str) else None
    return None if match is None else match[1]
