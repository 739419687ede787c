"""MONAI without what it imports for transforms and networks that no profile can name.

``import monai`` loads all of its modules, and with them, where they are installed, libraries that
it does without where they are not. They take more than half of the import.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

LEFT_OUT = frozenset({"pandas", "scipy.signal", "transformers"})


class _WithoutExtras(MetaPathFinder):
    def find_spec(self, fullname: str, _path: Sequence[str] | None, _target: object = None) -> None:
        """Refuse :data:`LEFT_OUT` to MONAI alone: deepbet, for one, needs pandas later."""
        if fullname in LEFT_OUT and _is_monai_importing():
            raise ModuleNotFoundError(f"left out: {fullname}", name=fullname)


def _is_monai_importing() -> bool:
    monai = sys.modules.get("monai")
    return monai is not None and getattr(monai.__spec__, "_initializing", False)


def import_monai_lightly() -> None:
    """Let a later ``import monai`` in this process go without :data:`LEFT_OUT`."""
    sys.meta_path.insert(0, _WithoutExtras())
