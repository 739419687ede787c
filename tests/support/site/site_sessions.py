"""Users of a site who may do all that a radiologist may, and their sessions.

``python -m tests.support.site.site_sessions NUMBER`` makes the tables and
prints the session keys as a JSON list.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

import django
from django.core.management import call_command


def make_sessions(number: int) -> list[str]:
    """Make so many users and log each of them in."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User

    store = import_module(settings.SESSION_ENGINE).SessionStore
    keys = []
    for one in range(number):
        user = User(username=f"radiologist-{one}", is_superuser=True)
        # Nobody logs in by a password: hashing one costs a tenth of a second.
        user.set_unusable_password()
        user.save()
        session = store()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        keys.append(session.session_key)
    return keys


if __name__ == "__main__":
    django.setup()
    call_command("migrate", verbosity=0)
    sys.stdout.write(json.dumps(make_sessions(int(sys.argv[1]))))
