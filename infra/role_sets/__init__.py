"""Studies as hospitals name them, with the right series for each role: data for ``infra.roles``.

Conventions of Siemens, GE, Philips, Canon, Hitachi and United Imaging scanners and of Korean,
German, French, Spanish, Italian, Portuguese, Dutch, Japanese and Chinese hospitals; times and
numbers are made up. ``breast.csv`` has dynamic studies: phases that are rounded, repeated, left
over, copied, unnamed. ``brain.csv`` has weighting and contrast in words that mislead, and
attributes that contradict. The tables of ``vendors`` and ``sites`` have whole examinations, in the
words of one vendor or language and with the other series that are beside them; those of ``mixed``
have more that misleads.
"""

from collections.abc import Sequence
from pathlib import Path

from infra.role_sets.scans import BRAIN, PHASES, RoleSet, Scan, read_table

_FOLDER = Path(__file__).parent


def _read(table: str) -> tuple[list[RoleSet], list[RoleSet]]:
    """The studies of the breast and of the brain in the tables of this name."""
    breast = read_table(_FOLDER / f"breast{table}.csv", PHASES)
    return breast, read_table(_FOLDER / f"brain{table}.csv", BRAIN)


_SINGLE, _VENDORS, _SITES, _MIXED = (_read(table) for table in ("", "_vendors", "_sites", "_mixed"))

PHASE_SETS: Sequence[RoleSet] = (*_SINGLE[0], *_VENDORS[0], *_SITES[0], *_MIXED[0])
BRAIN_SETS: Sequence[RoleSet] = (*_SINGLE[1], *_VENDORS[1], *_SITES[1], *_MIXED[1])
ROLE_SETS: Sequence[RoleSet] = (*PHASE_SETS, *BRAIN_SETS)
VENDORS: Sequence[RoleSet] = (*_VENDORS[0], *_VENDORS[1])
SITES: Sequence[RoleSet] = (*_SITES[0], *_SITES[1])

__all__ = ["BRAIN_SETS", "PHASE_SETS", "ROLE_SETS", "SITES", "VENDORS", "RoleSet", "Scan"]
