"""What repeats and what only a long run repeats."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, TypeVar

import pytest

E = TypeVar("E", bound=Enum)


def at_length(*values: object) -> list[Any]:
    """Parameters of which only ``--long`` makes tests."""
    return [pytest.param(value, marks=pytest.mark.long) for value in values]


def over(store: str) -> pytest.MarkDecorator:
    """The fast lab over this kind of queue; over the other one with ``--long``."""
    other = {"directory": "gcs", "gcs": "directory"}[store]
    return pytest.mark.parametrize("fast_lab", [store, *at_length(other)], indirect=True)


def one_of(kinds: Iterable[E], *always: E) -> list[Any]:
    """All kinds as parameters; without ``--long`` only those of ``always``."""
    return [*always, *at_length(*(kind for kind in kinds if kind not in always))]
