"""Print the table of pixel encodings: which reader finds which values.

    python -m infra.encodings            a line for each transfer syntax
    python -m infra.encodings --all      a line for each encoding

Ends with 1 where lab or site find another value than was written.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from infra.encodings.cases import Encoding, encodings, make_files, true_values
from infra.encodings.readers import READERS, Found, read_by_all
from segrelay.system.command_line import HelpfulParser

EXACT, OTHER = "exact", "OTHER VALUES"
"""Every voxel as written; anything else."""
OWN = ("lab", "site")


def judged(found: Found, truth: NDArray[np.int64]) -> str:
    """One cell of the table."""
    if isinstance(found, str):
        return found
    # The lab computes in float32, which holds 24 bits.
    wanted = truth.astype(np.float32) if found.dtype == np.float32 else truth
    return EXACT if np.array_equal(found, wanted) else OTHER


def row_of(encoding: Encoding) -> dict[str, str]:
    """What each reader makes of an encoding."""
    truth = true_values(encoding)
    found = read_by_all(make_files(encoding))
    return {name: judged(values, truth) for name, values in found.items()}


def is_right(encoding: Encoding, row: Mapping[str, str]) -> bool:
    """Whether both sides find every value; the site refuses by name what its viewer cannot hold."""
    at_site = EXACT if encoding.fits_16_bits else "pixel-depth"
    return row["lab"] == EXACT and row["site"] == at_site


def _lines(rows: Mapping[Encoding, Mapping[str, str]], *, is_all: bool) -> Iterable[str]:
    width = 46
    yield f"{'':{width}}" + "".join(f"{name:>16}" for name in READERS)
    if is_all:
        for encoding, row in rows.items():
            name = f"{_short(encoding)} {encoding.name}"
            yield f"{name:{width}}" + "".join(f"{row[reader]:>16}" for reader in READERS)
        return
    for syntax in dict.fromkeys(_short(encoding) for encoding in rows):
        same = [row for encoding, row in rows.items() if _short(encoding) == syntax]
        exact = Counter(reader for row in same for reader in READERS if row[reader] == EXACT)
        cells = "".join(f"{f'{exact[reader]} of {len(same)}':>16}" for reader in READERS)
        yield f"{syntax:{width}}{cells}"


def _short(encoding: Encoding) -> str:
    return encoding.syntax.name.partition(" (")[0].replace(", Non-Hierarchical", "")[:44]


def main() -> None:
    """Print the table of encodings and readers."""
    parser = HelpfulParser(description="Table of pixel encodings.")
    parser.add_argument("--all", action="store_true", help="a line for each encoding")
    is_all = parser.parse_args().all
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gcp_side.site.settings")
    rows = {encoding: row_of(encoding) for encoding in encodings()}
    print("Bits Allocated / Bits Stored / High Bit; how many encodings are read voxel for voxel.")
    print("\n".join(_lines(rows, is_all=is_all)))
    wrong = [encoding for encoding, row in rows.items() if not is_right(encoding, row)]
    for encoding in wrong:
        print(f"WRONG: {_short(encoding)} {encoding.name}: {rows[encoding]}")
    print(f"{len(rows)} encodings; lab and site are right in {len(rows) - len(wrong)}.")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
