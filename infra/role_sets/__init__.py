"""Studies as hospitals name them, with the right series for each role: data for ``infra.roles``.

Conventions of Siemens, GE, Philips and Canon scanners and of Korean, German, French, Spanish,
Italian and Japanese hospitals; times and numbers are made up. ``breast.csv`` has dynamic studies:
phases that are rounded, repeated, left over, copied, unnamed. ``brain.csv`` has weighting and
contrast in words that mislead, and attributes that contradict.
"""

from collections.abc import Sequence
from pathlib import Path

from infra.role_sets.scans import BRAIN, PHASES, RoleSet, Scan, read_table

_FOLDER = Path(__file__).parent

PHASE_SETS: Sequence[RoleSet] = read_table(_FOLDER / "breast.csv", PHASES)
BRAIN_SETS: Sequence[RoleSet] = read_table(_FOLDER / "brain.csv", BRAIN)
ROLE_SETS: Sequence[RoleSet] = (*PHASE_SETS, *BRAIN_SETS)

__all__ = ["BRAIN_SETS", "PHASE_SETS", "ROLE_SETS", "RoleSet", "Scan"]
