"""Every error code of the programs, in one table: ``infra/ERRORS.md``, made from the code itself.

    python -m infra.error_table            write it
    python -m infra.error_table --check    end with 1 where it is not what would be written

A code is written down where the error is made: as ``code=`` of a call, or as ``code`` of an error
class. The words are those that a person sees; what differs from case to case is shown as ``…``.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from common import errors
from infra.debian import repository_root

ROOT = repository_root()
FILE = ROOT / "infra" / "ERRORS.md"
PACKAGES = ("common", "lab_side", "gcp_side")

CLASSES = {name: kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)}

KINDS = {
    "FixConfigurationError": "setting",
    "TransientError": "passes",
    "PermanentError": "final",
    "AttemptFailedError": "tried again",
    "QueueConflictError": "conflict",
}
"""How the table calls a branch of the tree."""

_AGAIN = "Nothing: the job is tried again until its attempts are used up."
_SET_IT = "Set it in the environment, as a systemd credential, or run lab-agent setup."

WORDS: Mapping[str, tuple[str, str]] = {
    "agent-lost": ("The agent was silent for longer than its lease, or has died.", _AGAIN),
    "attempts-used-up": (
        "Every attempt at the job has failed; each reason is in its history.",
        "Mend what the last reason names, then run it again: manage.py labseg retry …",
    ),
    "cases": ("The folder of cases, or one of them, is not as it must be; it is named.", ""),
    "clock-off": ("This computer's clock and the store's, or Orthanc's, differ.", ""),
    "configuration": ("A setting is missing or wrong; it is named.", ""),
    "failed": ("The job has failed, for the reason that is told.", "As the message says."),
    "gpu-sick": ("The GPU's self-test has failed.", ""),
    "hurried-by-operator": ("A person let the job be tried again at once.", "Nothing."),
    "job-succeeded": ("The job, or one for the same series, has succeeded already.", ""),
    "local-disk": ("The local disk refused a write, or a read.", "Free space, or check the disk."),
    "orthanc-client-certificate": (
        "The certificate of this side is missing, wrong, or refused by the server.",
        "Check orthanc.client_cert and orthanc.client_key; the message says which.",
    ),
    "orthanc-credentials": (
        "Orthanc, or the proxy before it, does not accept user, password or token.",
        "Correct them; the message says which.",
    ),
    "orthanc-overwrites": ("", "Set OverwriteInstances to false in Orthanc, and restart it."),
    "orthanc-password-missing": ("There is no password for the Orthanc user.", _SET_IT),
    "orthanc-proxy-password-missing": ("There is no password for the proxy's user.", _SET_IT),
    "rejected": ("The manifest was moved to rejected/; the reason lies beside it.", "Look at it."),
    "role-mismatch": ("The images do not look like what their roles say; each doubt is told.", ""),
    "series-not-shown": ("The series cannot be shown; the message says why.", ""),
    "site-settings": (
        "A value of SEGRELAY is wrong; it is named.",
        "Correct it; the hint says how.",
    ),
    "store-differs": ("A request to the bucket was answered otherwise than documented.", ""),
    "store-unavailable": ("The bucket, or the queue's directory, did not answer.", ""),
    "submission-refused": ("The request names no job that can be made.", "Correct what is named."),
    "taken-by-operator": ("A person took the job from its agent.", "Nothing."),
    "transient": ("Something that is needed is not there now.", ""),
    "weights-unsafe": ("", "Convert them to safetensors; the message says how."),
}
"""What happened, and what to do, for codes whose words are put together elsewhere."""

_HEAD = """\
# Error codes

*Made by `python -m infra.error_table` from the code; a test compares. The tree of errors is in
[`common/errors.py`](common/errors.py).*

An error has a code, a message and a remedy. They are shown by `lab-agent`, `manage.py labseg` and
the page, and are in the log, in results and in attempt records. `…` differs from case to case.

| kind | what the programs do |
|---|---|
| setting | stop with exit code 78; a person must change a setting |
| passes | try again by themselves, or hand the job back; does not count (exit code 75) |
| final | the job has failed: trying it again gives the same answer (exit code 1) |
| tried again | this attempt counts; the job is tried again up to `max_attempts` |
| conflict | somebody else was first: look again (exit code 75) |
| record | an entry in a job's history: how an attempt, or the job, has ended |
| finding | a line of `lab-agent doctor` |

"""


@dataclass(frozen=True, kw_only=True, order=True)
class Row:
    """One code, as one place in the code uses it."""

    code: str
    kind: str
    message: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An error class of the programs."""

    branch: str
    code: str
    remedy: str
    told: str
    """The first sentence of its docstring."""


def rows() -> list[Row]:
    """Every code with its words, sorted; one row where several places say the same."""
    trees = [_parse(path) for path in _files()]
    kinds = _kinds(trees)
    found = {row for tree in trees for row in _uses(tree, kinds)}
    used = {row.code for row in found}
    found |= {
        Row(code=kind.code, kind=kind.branch, message=kind.told, remedy=kind.remedy)
        for kind in kinds.values()
        if kind.code not in used and kind.branch
    }
    return sorted(_said(row) for row in found if row.code)


def _said(row: Row) -> Row:
    """With the words of :data:`WORDS`, where the place itself has none."""
    message, remedy = WORDS.get(row.code, ("", ""))
    return replace(
        row,
        message=row.message if _tells(row.message) else message or row.message,
        remedy=row.remedy if _tells(row.remedy) else remedy or row.remedy,
    )


def _tells(words: str) -> bool:
    return any(letter.isalpha() for letter in words)


def codes() -> set[str]:
    """Every literal that is a code anywhere in the code."""
    found = set()
    for path in _files():
        for node in ast.walk(_parse(path)):
            found |= set(_literal_codes(node))
    return found


def text() -> str:
    """The file."""
    lines = ["| code | kind | what happened | what to do |", "|---|---|---|---|"]
    merged: dict[str, list[Row]] = {}
    for row in rows():
        merged.setdefault(row.code, []).append(row)
    for code, same in merged.items():
        kinds = ", ".join(dict.fromkeys(row.kind for row in same))
        messages = " / ".join(dict.fromkeys(row.message for row in same if row.message))
        remedies = " / ".join(dict.fromkeys(row.remedy for row in same if row.remedy))
        lines.append(f"| `{code}` | {kinds} | {_cell(messages)} | {_cell(remedies)} |")
    return _HEAD + "\n".join(lines) + "\n"


def _files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _kinds(trees: list[ast.Module]) -> dict[str, Kind]:
    """Error classes by name, a subclass with what it inherits."""
    base = errors.SegRelayError
    found = {base.__name__: Kind(branch="", code=base.code, remedy=base.remedy, told="")}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in range(len(CLASSES)):
        for node in classes:
            parents = [base.id for base in node.bases if isinstance(base, ast.Name)]
            parent = next((found[name] for name in parents if name in found), None)
            if parent is not None and node.name not in found:
                found[node.name] = _kind(node, parent)
    return found


def _kind(node: ast.ClassDef, parent: Kind) -> Kind:
    given = {
        item.targets[0].id: _words(item.value)
        for item in node.body
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name)
    }
    told = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
    branch = KINDS.get(node.name) or parent.branch
    return Kind(
        branch=branch,
        code=given.get("code", parent.code),
        remedy=given.get("remedy", parent.remedy),
        told=told,
    )


def _uses(tree: ast.Module, kinds: Mapping[str, Kind]) -> Iterator[Row]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        given = {item.arg: item.value for item in node.keywords if item.arg}
        kind = kinds.get(name)
        if kind is not None:
            message = _words(node.args[0]) if node.args else ""
            remedy = _words(given["remedy"]) if "remedy" in given else kind.remedy
            for code in _codes_of(given.get("code")) or [kind.code]:
                yield Row(code=code, kind=kind.branch, message=message, remedy=remedy)
        elif name == "Finding":
            for code in _codes_of(given.get("code")):
                yield Row(
                    code=code,
                    kind="finding",
                    message=_words(given["detail"]),
                    remedy=_words(given["remedy"]) if "remedy" in given else "",
                )
        elif "code" in given:
            # A function that makes the error; its words are looked up there.
            for code in _codes_of(given["code"]):
                told = [_words(value) for value in node.args]
                yield Row(code=code, kind="record", message=" ".join(filter(None, told)), remedy="")


def _literal_codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        for item in node.keywords:
            if item.arg == "code":
                yield from _codes_of(item.value)
    if isinstance(node, ast.ClassDef):
        for line in node.body:
            if isinstance(line, ast.Assign) and _name(line.targets[0]) == "code":
                yield from _codes_of(line.value)


def _codes_of(value: ast.expr | None) -> list[str]:
    """The literals that it may be."""
    if isinstance(value, ast.IfExp):
        return _codes_of(value.body) + _codes_of(value.orelse)
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
        return [value.value]
    return []


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _words(value: ast.expr) -> str:
    """A text with what is computed as ``…``."""
    if isinstance(value, ast.Constant):
        return str(value.value) if isinstance(value.value, str) else ""
    if isinstance(value, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "…" for part in value.values]
        return "".join(str(part) for part in parts)
    if isinstance(value, ast.BinOp):
        return _words(value.left) + _words(value.right)
    return "…"


def _cell(words: str) -> str:
    return words.replace("``", "`").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def main() -> None:
    """Write the table, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="only compare")
    if not parser.parse_args().check:
        FILE.write_text(text(), encoding="utf-8")
        return
    if FILE.read_text(encoding="utf-8") != text():
        sys.stderr.write("ERRORS.md is not up to date. Run: python -m infra.error_table\n")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
