"""Where the sources give an error code, and with which words; found without running anything.

A code is written down where the error is made, as ``code=`` of a call, or as ``code`` of an error
class. What differs from case to case is shown as ``…``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from segrelay.errors import SegRelayError

_BASE = SegRelayError.__name__


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An error class of the programs."""

    name: str
    code: str
    remedy: str
    summary: str
    """The first paragraph of its docstring."""
    bases: tuple[str, ...]
    """Its own name and those of all classes that it is derived from, the nearest first."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One call that gives a code, or that makes an error of a class which has one."""

    path: Path
    called: str
    """The error's class, the document, or the function that makes one of them."""
    codes: tuple[str, ...]
    """The literals it may be; none where no code is given, or where it is computed."""
    has_code: bool
    """Whether ``code=`` is written there."""
    words: tuple[str, ...]
    named: Mapping[str, str]
    """The words of the positional and of the named arguments."""


class ErrorSource:
    """Everything about codes in some files, and in those below some folders."""

    def __init__(self, places: Iterable[Path]) -> None:
        paths = sorted(
            path
            for place in places
            for path in ([place] if place.is_file() else place.rglob("*.py"))
        )
        trees = {path: _tree(path) for path in paths}
        self.remedies = {code: text for tree in trees.values() for code, text in _remedies(tree)}
        """By code: what to do where a place chooses it by the code of an error it passes on."""
        shared = {name: text for tree in trees.values() for name, text in _constants(tree)}
        self.kinds = _kinds(trees.values(), shared)
        self.given = [
            given
            for path, tree in trees.items()
            for given in _calls(path, tree, self.kinds, shared)
        ]

    def codes(self) -> set[str]:
        """Every literal that is a code."""
        own = {kind.code for kind in self.kinds.values()}
        return own.union(*(given.codes for given in self.given))

    def is_a(self, name: str, base: str) -> bool:
        """Whether an error class is ``base`` or derived from it."""
        return name in self.kinds and base in self.kinds[name].bases


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _kinds(trees: Iterable[ast.Module], shared: Mapping[str, str]) -> dict[str, Kind]:
    """Error classes by name, each with what it inherits."""
    found = {
        _BASE: Kind(
            name=_BASE,
            code=SegRelayError.code,
            remedy=SegRelayError.remedy,
            summary="",
            bases=(_BASE,),
        )
    }
    waiting = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while True:
        ready = [(node, parent) for node in waiting if (parent := _parent(node, found)) is not None]
        if not ready:
            return found
        for node, parent in ready:
            found.setdefault(node.name, _kind(node, parent, shared))
            waiting.remove(node)


def _parent(node: ast.ClassDef, found: Mapping[str, Kind]) -> Kind | None:
    return next((found[_name(base)] for base in node.bases if _name(base) in found), None)


def _kind(node: ast.ClassDef, parent: Kind, shared: Mapping[str, str]) -> Kind:
    own = {
        item.targets[0].id: _words(item.value, shared)
        for item in node.body
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name)
    }
    return Kind(
        name=node.name,
        code=own.get("code", parent.code),
        remedy=own.get("remedy", parent.remedy),
        summary=(ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " "),
        bases=(node.name, *parent.bases),
    )


def _calls(
    path: Path, tree: ast.Module, kinds: Mapping[str, Kind], shared: Mapping[str, str]
) -> Iterator[Given]:
    """``shared``: the texts that have a name in any module; a remedy may be imported."""
    constants = dict(_constants(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = {item.arg: item.value for item in node.keywords if item.arg}
        called = _name(node.func)
        if called in kinds or "code" in named:
            yield Given(
                path=path,
                called=called,
                codes=tuple(_texts(named.get("code"), constants)),
                has_code="code" in named,
                words=tuple(_words(value) for value in node.args),
                named={name: _words(value, shared) for name, value in named.items()},
            )


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The texts that have a name in this module."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((_name(node.targets[0]), text) for text in _texts(node.value, {}))


def _remedies(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The entries of a table called ``REMEDIES``; its keys may be something else than codes."""
    for node in tree.body:
        if not isinstance(node, ast.Assign) or _name(node.targets[0]) != "REMEDIES":
            continue
        if isinstance(node.value, ast.Dict):
            entries = zip(node.value.keys, node.value.values, strict=True)
            yield from ((_words(key), _words(text)) for key, text in entries if key)


def _texts(value: ast.expr | None, constants: Mapping[str, str]) -> Iterator[str]:
    """The literals that it may be."""
    if isinstance(value, ast.IfExp):
        yield from _texts(value.body, constants)
        yield from _texts(value.orelse, constants)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
        yield value.value
    elif isinstance(value, ast.Name) and value.id in constants:
        yield constants[value.id]


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _words(value: ast.expr, shared: Mapping[str, str] | None = None) -> str:
    """A text with what is computed as ``…``; that of a name in ``shared`` is known."""
    if isinstance(value, ast.Name) and shared and value.id in shared:
        return shared[value.id]
    if isinstance(value, ast.Constant):
        return str(value.value) if isinstance(value.value, str) else ""
    if isinstance(value, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "…" for part in value.values]
        return "".join(str(part) for part in parts)
    if isinstance(value, ast.BinOp):
        return _words(value.left) + _words(value.right)
    return "…"
