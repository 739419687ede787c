"""The tests' settings on PostgreSQL: the server whose address the environment names."""

from __future__ import annotations

import os

from gcp_side.site.database import database
from tests.settings import *  # noqa: F403

DATABASES = {"default": database(os.environ["SEGRELAY_TESTS_POSTGRES"])}
