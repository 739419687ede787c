"""Every error code of the agent's side, read from the source: what a README must explain."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from common import errors
from lab_side.agent.pipeline import Halt

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("common", "lab_side")

GROUPS = {
    "FixConfigurationError": ("FixConfigurationError", "_password"),
    "TransientError": (
        "TransientError",
        "StoreUnavailableError",
        "OrthancUnavailableError",
        "LocalDiskError",
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
    given = defaultdict(set)
    for called, code in _given():
        given[called].add(code)
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


def _given() -> Iterator[tuple[str, str]]:
    """What is called with ``code=…``, and the codes."""
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        named = dict(_named(module))
        for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
            for value in (keyword.value for keyword in call.keywords if keyword.arg == "code"):
                yield from ((_name(call.func), code) for code in _texts(value, named))


def _named(module: ast.Module) -> Iterator[tuple[str, str]]:
    """The texts that have a name in this module."""
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield from ((node.targets[0].id, text) for text in _texts(node.value, {}))


def _texts(value: ast.expr, named: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
        yield value.value
    if isinstance(value, ast.Name) and value.id in named:
        yield named[value.id]
    if isinstance(value, ast.IfExp):
        yield from _texts(value.body, named)
        yield from _texts(value.orelse, named)


def _name(called: ast.expr) -> str:
    return called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
