"""Sizes and words of the code, room by room.

    python -m infra.house                     the working tree
    python -m infra.house --at REVISION       a revision of git before it
    python -m infra.house --words             the docstrings that :data:`WORDS` are in

Python files are measured, and the length of the README. A body is a function without its docstring.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from statistics import quantiles
from typing import get_args

from rich.console import Console
from rich.table import Table

from infra.packages.debian import repository_root
from segrelay.system.command_line import HelpfulParser

ROOMS = ("common", "lab_side", "gcp_side", "infra", "tests")
PRODUCT = ROOMS[:3]
COLUMNS = {room: (room,) for room in ROOMS} | {"product": PRODUCT, "+ infra": (*PRODUCT, "infra")}
README = "README.md"
LONG = 60
"""A function with more lines is long."""
WORDS = "told|tells|for a person|by itself|stands|mend|anew|so long|whoever"
"""Idioms that no first line of a docstring should have."""

_WORD = re.compile(rf"\b({WORDS})", re.IGNORECASE)
IGNORE, NOQA = "type: ignore", "noqa"
_MARK = re.compile(rf"#\s*({IGNORE}|{NOQA})")
_WIDTH = 170

Function = ast.FunctionDef | ast.AsyncFunctionDef
Described = Function | ast.ClassDef | ast.Module
Texts = Mapping[str, str]


def in_the_tree() -> dict[str, str]:
    """Path to text of the Python files that git does not ignore, and of the README."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    files = {path: repository_root() / path for path in sorted(set(listed.split("\0")))}
    return {
        path: file.read_text(encoding="utf-8")
        for path, file in files.items()
        if path.endswith((".py", README)) and file.exists()
    }


def at(revision: str) -> dict[str, str]:
    """The same at a revision of git; raises CalledProcessError where there is none."""
    listed = _git("ls-tree", "-r", "-z", "--name-only", revision).decode().split("\0")
    paths = [path for path in listed if path.endswith((".py", README))]
    asked = "".join(f"{revision}:{path}\n" for path in paths)
    answer = io.BytesIO(_git("cat-file", "--batch", stdin=asked.encode()))
    texts = {}
    for path in paths:
        size = int(answer.readline().split()[-1])
        texts[path] = answer.read(size).decode()
        answer.readline()
    return texts


def _git(*words: str, stdin: bytes = b"") -> bytes:
    root = repository_root()
    return subprocess.check_output(["git", *words], cwd=root, input=stdin)


def figures(texts: Texts) -> dict[str, str]:
    """Each figure of some Python files, by its name."""
    nodes = [(path, node) for path, text in texts.items() for node in nodes_of(text)]
    functions = [(path, node) for path, node in nodes if isinstance(node, Function)]
    broad = sum(is_broad(node) for _, node in nodes if isinstance(node, ast.ExceptHandler))
    comments = [comment for text in texts.values() for comment in comments_of(text)]
    marks = Counter(found[1] if (found := _MARK.match(text)) else "" for text in comments)
    in_files = Counter(path for path, _ in functions)
    lines = [len(text.splitlines()) for text in texts.values()]
    total = max(sum(lines), 1)
    described = sum(len(text.splitlines()) for _, _, text in docstrings(texts))
    return {
        "files / lines": f"{len(texts)} / {sum(lines):,}",
        "file lines: median / p90 / max": spread(lines),
        "body lines: median / p90 / max": spread(body_lines(node) for _, node in functions),
        "functions a file: median / p90 / max": spread(in_files[path] for path in texts),
        "parameters: median / p90 / max": spread(parameters(node) for _, node in functions),
        f"functions over {LONG} lines": str(sum(is_long(node) for _, node in functions)),
        "comments a 100 lines": f"{100 * marks[''] / total:.1f}",
        "docstring lines, share": f"{100 * described / total:.0f} %",
        "files in the fullest folder": fullest_folder(texts),
        "broad excepts / type: ignore / noqa": f"{broad} / {marks[IGNORE]} / {marks[NOQA]}",
        "docstrings with an idiom": str(sum(has_idiom(text) for _, _, text in docstrings(texts))),
    }


@cache
def nodes_of(text: str) -> list[Described | ast.ExceptHandler]:
    """What is counted in a Python file."""
    counted = (*get_args(Described), ast.ExceptHandler)
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, counted)]


def spread(numbers: Iterable[int]) -> str:
    """Median, 90th percentile and maximum."""
    values = sorted(numbers) or [0]
    tenths = quantiles(values * 2, n=10, method="inclusive")
    return f"{tenths[4]:.0f} / {tenths[8]:.0f} / {values[-1]}"


def body_lines(node: Function) -> int:
    """Lines of a function after its signature and docstring."""
    body = node.body[ast.get_docstring(node) is not None :]
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def is_long(node: Function) -> bool:
    """Whether it has more than :data:`LONG` lines from ``def`` to its end."""
    return (node.end_lineno or 0) - node.lineno >= LONG


def parameters(node: Function) -> int:
    """How many a caller may give."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in given)


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether it catches every exception."""
    named = ast.walk(handler.type) if handler.type else ()
    names = {node.id for node in named if isinstance(node, ast.Name)}
    return handler.type is None or not names.isdisjoint({"Exception", "BaseException"})


def docstrings(texts: Texts) -> Iterator[tuple[str, int, str]]:
    """Path, line and text of each."""
    for path, text in texts.items():
        for node in nodes_of(text if path.endswith(".py") else ""):
            if isinstance(node, Described) and (found := ast.get_docstring(node)):
                yield path, getattr(node, "lineno", 1), found


def has_idiom(docstring: str) -> bool:
    """Whether its first line has one of :data:`WORDS`."""
    return bool(_WORD.search(docstring.partition("\n")[0]))


@cache
def comments_of(text: str) -> list[str]:
    """The comments of a Python file."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def fullest_folder(paths: Iterable[str]) -> str:
    """How many files the fullest folder has, and its name."""
    folders = Counter(str(PurePosixPath(path).parent) for path in paths)
    name, files = folders.most_common(1)[0] if folders else ("", 0)
    return f"{files} ({PurePosixPath(name).name})"


def table(title: str, texts: Texts) -> Table:
    """A column for each room, one for the product, and one for product and infra."""
    code = [(path, text) for path, text in texts.items() if path.endswith(".py")]
    columns = {
        name: figures({path: text for path, text in code if path.split("/")[0] in rooms})
        for name, rooms in COLUMNS.items()
    }
    shown = Table(title=f"{title}; README.md: {len(texts.get(README, '').splitlines())} lines")
    for heading in ("", *columns):
        shown.add_column(heading, justify="right" if heading else "left")
    for row in columns["product"]:
        shown.add_row(row, *(column[row] for column in columns.values()))
    return shown


def main() -> None:
    """Print the tables, or where the words are."""
    parser = HelpfulParser(prog="python -m infra.house", description="Measure the code.")
    parser.add_argument("--at", metavar="REVISION", help="also this revision of git")
    parser.add_argument("--words", action="store_true", help="list docstrings with idioms instead")
    options = parser.parse_args()
    console = Console(width=_WIDTH, soft_wrap=options.words)
    now = in_the_tree()
    if options.words:
        for path, line, text in docstrings(now):
            if has_idiom(text):
                console.print(f"{path}:{line}: {text.splitlines()[0]}", markup=False)
        return
    if options.at:
        console.print(table(f"at {options.at}", at(options.at)))
    console.print(table("now", now))


if __name__ == "__main__":
    main()
