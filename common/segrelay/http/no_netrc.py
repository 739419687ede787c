"""Sessions of ``requests`` that never read ``.netrc``.

``requests`` puts a password from that file in place of an Authorization header that a program has
set, a ``default`` entry even for every host. A proxy of the environment is used as before, which
``trust_env = False`` would end too.
Source: https://requests.readthedocs.io/en/latest/user/authentication/#netrc-authentication
"""

from __future__ import annotations

from functools import partial

from requests import PreparedRequest, Response, Session
from requests.auth import AuthBase


class _AsItIs(AuthBase):
    """Leaves the request as it is: a session that has an authentication looks for no other."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


def ignore_netrc(session: Session) -> None:
    """Keep ``session`` from reading ``.netrc``, for its requests and where it is redirected."""
    session.auth = _AsItIs()
    session.rebuild_auth = partial(_drop_at_another_host, session)  # type: ignore[method-assign]


def _drop_at_another_host(session: Session, request: PreparedRequest, answer: Response) -> None:
    """Remove credentials on the way to another host, as ``Session.rebuild_auth`` does first."""
    old, new = answer.request.url, request.url
    if "Authorization" not in request.headers or not old or not new:
        return
    if session.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
        del request.headers["Authorization"]
