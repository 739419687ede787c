"""What MONAI does not get while it is imported, others get later."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest


@pytest.mark.parametrize("name", ["scipy.signal", "pandas", "transformers"])
def test_only_monais_own_import_goes_without(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monai = ModuleType("monai")
    monai.__spec__ = ModuleSpec("monai", None)
    monkeypatch.setitem(sys.modules, "monai", monai)
    monkeypatch.delitem(sys.modules, name, raising=False)
    find_spec(name)
    monkeypatch.setattr(monai.__spec__, "_initializing", True, raising=False)
    with pytest.raises(ModuleNotFoundError, match="left out"):
        find_spec(name)
