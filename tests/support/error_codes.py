"""The codes of all errors in the sources, found without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = ("AttemptRecord", "Failure", "Rejection")
"""What carries a code without being an error."""


@dataclass(frozen=True)
class Found:
    """One place where a code is given."""

    path: Path
    kind: str
    """The error's class, or the document."""
    code: str | None
    """None where it is no constant."""


@dataclass(frozen=True)
class _Class:
    bases: tuple[str, ...]
    code: str | None


class ErrorTree:
    """The classes of all errors below some folders."""

    def __init__(self, folders: list[Path]) -> None:
        paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
        self._trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
        self._classes: Mapping[str, _Class] = {
            node.name: _Class(
                tuple(base.id for base in node.bases if isinstance(base, ast.Name)),
                _own_code(node),
            )
            for tree in self._trees.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        }

    def is_a(self, name: str, root: str) -> bool:
        """Whether the class is ``root`` or derived from it."""
        known = self._classes.get(name)
        return name == root or (
            known is not None and any(self.is_a(base, root) for base in known.bases)
        )

    def found(self) -> Iterator[Found]:
        """Every code: of a class, and wherever an error or a document is made."""
        for path, tree in self._trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and self.is_a(node.name, "SegRelayError"):
                    yield Found(path, node.name, self._code_of(node.name))
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    yield from self._made(path, node, node.func.id)

    def _made(self, path: Path, call: ast.Call, kind: str) -> Iterator[Found]:
        if kind not in DOCUMENTS and not self.is_a(kind, "SegRelayError"):
            return
        given = [word.value for word in call.keywords if word.arg == "code"]
        for value in given:
            yield Found(path, kind, _text(value))

    def _code_of(self, name: str) -> str | None:
        known = self._classes[name]
        if known.code is not None:
            return known.code
        inherited = (self._code_of(base) for base in known.bases if base in self._classes)
        return next((code for code in inherited if code is not None), None)


def _own_code(node: ast.ClassDef) -> str | None:
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and target.id == "code":
            return _text(getattr(item, "value", None))
    return None


def _text(value: ast.expr | None) -> str | None:
    return str(value.value) if isinstance(value, ast.Constant) else None
