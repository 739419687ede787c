"""Django's command line for the project: ``python gcp_side/manage.py --help``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

EXIT_CONFIGURATION = 78
"""``EX_CONFIG`` of sysexits.h: an operator must change a setting; do not start again."""


def main() -> None:
    """Run a management command; a missing setting is one line and exit code 78."""
    _import_from_the_root()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gcp_side.site.settings")
    from segrelay.system.console import finish_output, prepare_output

    prepare_output()
    sys.exit(finish_output(_run()))


def _run() -> int:
    """Run the command; returns its exit code."""
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from segrelay.system.console import say_error

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        say_error(str(error))
        return EXIT_CONFIGURATION
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        # As the interpreter itself.
        say_error(str(end.code))
        return 1
    return 0


def _import_from_the_root() -> None:
    """Python puts a script's own folder on the path: here its parent is what is needed."""
    here = Path(__file__).resolve().parent
    if sys.path and Path(sys.path[0]).resolve() == here:
        sys.path[0] = str(here.parent)


if __name__ == "__main__":
    main()
