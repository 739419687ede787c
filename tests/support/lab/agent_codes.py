"""Every error code of the agent's side, read from the source: what a README must explain."""

from __future__ import annotations

from collections import defaultdict

from infra.error_docs.source import ErrorSource
from lab_side.agent.pipeline import Halt
from segrelay import errors
from tests.support.paths import ROOT

ROOMS = ("common", "lab_side")

GROUPS = {
    "FixConfigurationError": ("FixConfigurationError", "_password"),
    "TransientError": (
        "TransientError",
        "StoreUnavailableError",
        "ObjectRefusedError",
        "OrthancUnavailableError",
        "LocalDiskError",
        "LimitReachedError",
    ),
    "AttemptFailedError": ("AttemptFailedError",),
    "ManifestRejectedError": ("ManifestRejectedError",),
    "SeriesRefusedError": ("SeriesRefusedError",),
    "OrthancRefusedError": ("OrthancRefusedError",),
    "InferenceError": ("InferenceError",),
    "PermanentError": ("PermanentError", "JobUnknownError", "Failure"),
    "QueueConflictError": (
        "QueueConflictError",
        "ObjectNotFoundError",
        "ObjectExistsError",
        "PreconditionFailedError",
        "LeaseLostError",
    ),
    "AttemptRecord": ("AttemptRecord",),
    "Finding": ("Finding",),
}
"""What a code is given to, in the order of the READMEs: one row for each."""


def codes_by_group() -> dict[str, set[str]]:
    """The codes of each group; one that a group above it has is not told again."""
    source = ErrorSource(ROOT / room for room in ROOMS)
    given: dict[str, set[str]] = defaultdict(set)
    for call in source.given:
        if call.codes:
            given[call.called] |= set(call.codes)
    for name in errors.__all__:
        given[name].add(getattr(errors, name).code)
    given["TransientError"] |= {halt.error().code for halt in Halt}
    unknown = given.keys() - {name for names in GROUPS.values() for name in names}
    # The base of all is never raised itself.
    assert unknown == {"SegRelayError"}, unknown
    found: dict[str, set[str]] = {}
    for group, names in GROUPS.items():
        told = set().union(*found.values())
        found[group] = set().union(*(given[name] for name in names)) - told
    return found
