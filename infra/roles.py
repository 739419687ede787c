"""How the roles of series are recognised: ``python -m infra.roles [--file SETS.json] [--details]``.

Prints one line per study: how many roles are right, unsure and WRONG. *Right* is the right
series with *certain* or *likely*, or none where no series has the role. *Unsure* is what a
person is asked to check: a guess, or none where one was right. *WRONG* is another series with
*certain* or *likely*; with one of these the exit code is 1.

Without ``--file`` the studies of :mod:`infra.role_sets` are measured. A file is a JSON list of
``{"name", "roles", "series": [{"description", "number", "instances", "tags"}], "right"}``, where
``tags`` are those of one instance by keyword, multi-valued text joined by a backslash, and
``right`` gives the place of the series in ``series`` for each role, or null.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from django.conf import settings
from pydantic import TypeAdapter, ValidationError

from gcp_side.labseg.recognition import Confidence, Recognised, recognise
from infra.role_sets import ROLE_SETS, RoleSet
from segrelay.parsing.validation import describe_first_error
from segrelay.system.command_line import HelpfulParser

Verdict = Literal["right", "unsure", "WRONG"]
VERDICTS: Sequence[Verdict] = ("right", "unsure", "WRONG")
NAME_WIDTH = 72


@dataclass(frozen=True)
class Judged:
    """One role of one study."""

    role: str
    verdict: Verdict
    expected: int | None
    """Place of the right series."""
    found: int | None
    """Place of the series that was recognised."""
    answer: Recognised


def judge(study: RoleSet) -> list[Judged]:
    """The roles of a study, each compared with the right series."""
    return [
        _judged(answer, study.right[answer.role])
        for answer in recognise(study.asked, study.attributes)
    ]


def count(judged: Sequence[Judged]) -> tuple[int, ...]:
    """How many are right, unsure and WRONG."""
    return tuple(sum(one.verdict == verdict for one in judged) for verdict in VERDICTS)


def _judged(answer: Recognised, expected: int | None) -> Judged:
    found = None if answer.series_id is None else int(answer.series_id)
    is_sure = answer.confidence in (Confidence.CERTAIN, Confidence.LIKELY)
    verdict: Verdict = "unsure"
    if found == expected and (is_sure or found is None):
        verdict = "right"
    elif is_sure:
        verdict = "WRONG"
    return Judged(answer.role, verdict, expected, found, answer)


def table(studies: Sequence[RoleSet], *, has_details: bool) -> Iterator[str]:
    """The lines of the report, the sums last."""
    sums = [0, 0, 0]
    yield f"{'study':{NAME_WIDTH}} {' '.join(f'{name:>6}' for name in VERDICTS)}"
    for study in studies:
        judged = judge(study)
        counts = count(judged)
        sums = [known + more for known, more in zip(sums, counts, strict=True)]
        yield f"{study.name[:NAME_WIDTH]:{NAME_WIDTH}} {' '.join(f'{n:6}' for n in counts)}"
        if has_details:
            yield from _details(judged)
    yield f"{f'{len(studies)} studies':{NAME_WIDTH}} {' '.join(f'{n:6}' for n in sums)}"


def _details(judged: Sequence[Judged]) -> Iterator[str]:
    for one in judged:
        if one.verdict != "right":
            yield (
                f"    {one.verdict} {one.role}: series {one.found}, right is {one.expected}; "
                f"{one.answer.confidence.value}: {one.answer.sentence}"
            )


def read_sets(path: Path) -> list[RoleSet]:
    """The studies of a file.

    Raises
    ------
    OSError, ValidationError
        The file cannot be read, or is none of this form.
    """
    return TypeAdapter(list[RoleSet]).validate_json(path.read_bytes())


def _reason(error: OSError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        return describe_first_error(error, list[RoleSet])
    return error.strerror or type(error).__name__


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 0, or 1 where a role is wrong with confidence."""
    parser = HelpfulParser(prog="python -m infra.roles", description=__doc__)
    parser.add_argument("--file", type=Path, help="a JSON list of studies")
    parser.add_argument("--details", action="store_true", help="each role that is not right")
    options = parser.parse_args(arguments)
    if not settings.configured:
        settings.configure(USE_I18N=False)
    try:
        studies = read_sets(options.file) if options.file else ROLE_SETS
    except (OSError, ValidationError) as error:
        parser.error(f"the file cannot be used: {_reason(error)}")
    for line in table(studies, has_details=options.details):
        print(line)
    return int(any(one.verdict == "WRONG" for study in studies for one in judge(study)))


if __name__ == "__main__":
    sys.exit(main())
