"""The pages' JavaScript modules, under addresses at which they find each other.

A module imports its neighbours by name (``./dom.js``). A project may keep its static files under
hashed names alone, on a server of another name without leave to use modules from there (CORS), or
with a wrong content type; an import map would be an inline script, which a strict Content Security
Policy forbids. So the modules come from the site itself, as the texts for them do. The address
holds their digest: browsers keep them until they change.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from gcp_side.labseg.host.addresses import page_address

FOLDER = Path(__file__).parents[1] / "static" / "labseg"

KEPT = "public, max-age=31536000, immutable"
"""For what never changes under its address."""

NOT_KEPT = "no-cache"
"""For the address of another version: one page may come from a process that was updated first."""


def script_address(name: str) -> str:
    """Where the page finds a module, e.g. ``study.js``."""
    return page_address("script", _digest(), name)


@gzip_page
@require_safe
def script(request: HttpRequest, digest: str, name: str) -> HttpResponse:  # noqa: ARG001
    """``GET …/scripts/<digest>/labseg/<name>``: a module; nothing in it is secret."""
    files = {path.name: path for path in FOLDER.glob("*.js")}
    if name not in files:
        raise Http404
    answer = HttpResponse(files[name].read_bytes(), content_type="text/javascript; charset=utf-8")
    answer["Cache-Control"] = KEPT if digest == _digest() else NOT_KEPT
    return answer


def _digest() -> str:
    """Digest of the modules' bytes, so that each version has an address of its own."""
    found = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.js")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
