"""Django settings of the tests: the project's own, with nothing from the environment."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

_ENVIRONMENT = {
    "SEGRELAY_DEBUG": "1",
    "SEGRELAY_DATABASE": ":memory:",
    # A test that forgets to name its own bucket must fail, not write somewhere.
    "SEGRELAY_BUCKET": "file:///dev/null/no-bucket",
    "SEGRELAY_ORTHANC_URL": "http://127.0.0.1:9",
}

with patch.dict(os.environ, _ENVIRONMENT, clear=True):
    from gcp_side.site.settings import *  # noqa: F403

DEBUG = False
SECRET_KEY = "only-for-tests"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A file, as in production: databases in memory lock whole tables and never wait for each other.
DATABASES["default"]["TEST"] = {  # noqa: F405
    "NAME": str(Path(tempfile.gettempdir()) / f"segrelay-tests-{os.getpid()}.sqlite3")
}
