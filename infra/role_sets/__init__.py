"""Studies as hospitals name them, with the right series for each role: data for ``infra.roles``.

Conventions of Siemens, GE, Philips and Canon scanners and of Korean, German, French, Spanish,
Italian and Japanese hospitals; times and numbers are made up.
"""

from collections.abc import Sequence

from infra.role_sets.brain import BRAIN_SETS
from infra.role_sets.phases import PHASE_SETS
from infra.role_sets.scans import RoleSet, Scan

ROLE_SETS: Sequence[RoleSet] = (*PHASE_SETS, *BRAIN_SETS)

__all__ = ["BRAIN_SETS", "PHASE_SETS", "ROLE_SETS", "RoleSet", "Scan"]
