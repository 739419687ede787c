"""The database of a private site in one process: ``python -m infra.servers.site_database USER``.

Makes the tables and a superuser, whose password is in ``DJANGO_SUPERUSER_PASSWORD``; with
``--agent NAME`` a token for that agent as well, and prints what ``labseg agent-token add --json``
prints. Loading Django and the site takes longer than each of the three, so it is done once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import django
from django.core.management import call_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and make what it names; the settings are in the environment."""
    parser = argparse.ArgumentParser(prog="python -m infra.servers.site_database")
    parser.add_argument("user", help="name of the superuser")
    parser.add_argument("--agent", metavar="NAME", help="make a token for this agent")
    options = parser.parse_args(arguments)
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command(
        "createsuperuser",
        verbosity=0,
        interactive=False,
        username=options.user,
        email=f"{options.user}@localhost",
    )
    if options.agent is not None:
        call_command("labseg", "agent-token", "add", options.agent, "--json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
