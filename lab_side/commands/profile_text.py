"""The answers of ``lab-agent profile``, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab_side.commands.console import printable, table
from segrelay.errors import SegRelayError
from segrelay.profiles import Profile

if TYPE_CHECKING:
    from lab_side.importing.run import Imported
    from lab_side.profile_registry import InstalledProfile
    from lab_side.worker.protocol import LoadReply

_HEADING = ("NAME", "VERSION", "NETWORK", "INPUTS", "WEIGHTS", "FROM", "SERVED")


def installed(items: Sequence[InstalledProfile]) -> str:
    """Format a table of the profiles, followed by their problems."""
    problems = [
        f"{item.name}: {printable(item.problem.message)}\nremedy: {item.problem.remedy}"
        for item in items
        if item.problem is not None
    ]
    return "\n\n".join([table(_HEADING, map(_row, items), empty="There is none."), *problems])


def as_json(item: InstalledProfile) -> dict[str, Any]:
    """Return one profile of the list for JSON."""
    profile = item.profile
    return {
        "name": item.name,
        "folder": str(item.folder),
        "shipped": item.is_shipped,
        "served": item.model is not None,
        "version": profile and profile.version,
        "architecture": profile and profile.network.architecture,
        "inputs": profile and profile.roles,
        "weights": _weights(item),
        "problem": item.problem and item.problem.message,
    }


def _row(item: InstalledProfile) -> Sequence[str]:
    source = "SegRelay" if item.is_shipped else "this lab"
    served = "yes" if item.model is not None else "no"
    if item.profile is None:
        return (item.name, "not valid", "", "", "", source, served)
    network, roles = item.profile.network.architecture, ", ".join(item.profile.roles)
    return (item.name, item.profile.version, network, roles, _weights(item), source, served)


def _weights(item: InstalledProfile) -> str:
    if item.model is not None and item.model.weights is not None:
        return "configured"
    has_own = item.profile is not None and item.profile.weights.file is not None
    return "its own" if has_own else "missing"


def fields(profile: Profile) -> str:
    """Format every field with its value, a line each."""
    lines = list(_lines(profile.model_dump(mode="json")))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in lines)


def _lines(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    parts: Mapping[Any, Any] = {}
    if isinstance(value, dict):
        parts = value
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        parts = dict(enumerate(value, start=1))
    for key, part in parts.items():
        yield from _lines(part, f"{name}.{key}" if name else str(key))
    if not parts:
        yield name, printable("" if value is None else str(value))


def checked(name: str, result: LoadReply | SegRelayError) -> str:
    """Format the result of checking one profile."""
    if isinstance(result, SegRelayError):
        return f"FAIL  {name}: {printable(result.message)} [{result.code}]\nremedy: {result.remedy}"
    return f"OK    {name}: {_proof(result)}"


def checked_json(result: LoadReply | SegRelayError) -> dict[str, Any]:
    """Return the result of checking one profile for JSON."""
    if isinstance(result, SegRelayError):
        return {"ok": False, "code": result.code, "message": result.message}
    return {"ok": True, **result.model_dump(mode="json", exclude={"profile"})}


def imported(result: Imported) -> str:
    """Format an import: what was found, the proof, and how to serve the profile."""
    lines = [printable(sentence) for sentence in result.found]
    lines += [
        f"Proof: {_proof(result.proof)}",
        "",
        f"The profile {result.profile.name} is in {result.folder}.",
        "Read its profile.json before use: a wrong order of inputs or a wrong spacing computes",
        "without complaint. Serve it with SEGRELAY_PROFILES, or in the TOML file:",
        "",
        "[[models]]",
        f'profile = "{result.profile.name}"',
    ]
    return "\n".join(lines)


def _proof(reply: LoadReply) -> str:
    doubt = f", not by OpenVINO: {reply.engine_doubt}" if reply.engine_doubt else ""
    return (
        f"loaded on {reply.device} and run once in {reply.seconds:.1f} s, "
        f"weights {reply.model_sha256}{doubt}"
    )
