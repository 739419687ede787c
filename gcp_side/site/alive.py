"""Whether the site answers: ``python -m gcp_side.site.alive 127.0.0.1:8000``, for health checks.

Asks for the login page as the proxy before the site does, and as a browser whose session is
over: so the site looks into its database. Exit code 0 where the page comes.
"""

from __future__ import annotations

import http.client
import os
import sys

PAGE = "/segmentation/login/"
LIMIT_S = 8.0
_OLD_SESSION = "sessionid=is-the-database-there"


def is_alive(address: str, host: str) -> bool:
    """Whether the server at ``address`` serves the site called ``host``."""
    line = http.client.HTTPConnection(address, timeout=LIMIT_S)
    try:
        headers = {"Host": host, "X-Forwarded-Proto": "https", "Cookie": _OLD_SESSION}
        line.request("GET", PAGE, headers=headers)
        return line.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


if __name__ == "__main__":
    name = os.environ.get("SEGRELAY_ALLOWED_HOSTS", "").split(",")[0].strip()
    raise SystemExit(0 if is_alive(sys.argv[1], name or "localhost") else 1)
