"""Synthetic four-phase breast DCE-MRI with a known lesion, for training, tests and the demo."""

from __future__ import annotations

from infra.phantom.case import REFERENCE_PHASE, Case, make_case, network_grid, scanner_grid

__all__ = ["REFERENCE_PHASE", "Case", "make_case", "network_grid", "scanner_grid"]
