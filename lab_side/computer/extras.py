"""Packages that some profiles need and a lab without these profiles does not install.

They are extras of the package (``pip install '.[lab,brain]'``). What a profile needs is looked for
without importing it, so that every command says what is missing before any job is claimed.
"""

from __future__ import annotations

import importlib.util

from segrelay.errors import FixConfigurationError
from segrelay.profiles import Profile

BRAIN_PACKAGE = "deepbet"
"""What the extra ``brain`` installs; its own requirements include a toolkit for windows."""


def check_extras(profile: Profile) -> None:
    """Make sure that the packages which a profile needs are installed here.

    Raises
    ------
    FixConfigurationError
        ``skull-strip-missing``: the profile strips the skull, and deepbet is not installed.
    """
    if profile.preprocessing.skull_strip and importlib.util.find_spec(BRAIN_PACKAGE) is None:
        raise brain_missing("is not installed")


def brain_missing(why: str) -> FixConfigurationError:
    """The error of a computer on which deepbet cannot be used; ``why`` ends its sentence."""
    return FixConfigurationError(
        f"The profile strips the skull, and deepbet, which finds the brain, {why}.",
        code="skull-strip-missing",
        remedy="Install the extra brain in SegRelay's folder: pip install '.[lab,brain]'. Or, "
        "where the series are stripped already, set preprocessing.skull_strip to null in "
        "profile.json.",
    )
