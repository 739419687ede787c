"""Every error code of the programs, in one table: ``infra/ERRORS.md``, made from the code itself.

    python -m infra.error_docs.table            write it
    python -m infra.error_docs.table --check    end with 1 where it is not what would be written

The words are those that users see; what differs from case to case is shown as ``…``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from infra.error_docs.source import ErrorSource, Given, Kind
from infra.packages.debian import repository_root
from segrelay.system.command_line import HelpfulParser
from segrelay.system.nearest import did_you_mean

ROOT = repository_root()
FILE = ROOT / "infra" / "ERRORS.md"
PACKAGES = ("common", "lab_side", "gcp_side")

KINDS = {
    "FixConfigurationError": "setting",
    "TransientError": "passes",
    "AttemptFailedError": "tried again",
    "ManifestRejectedError": "document",
    "SeriesRefusedError": "images",
    "OrthancRefusedError": "Orthanc",
    "InferenceError": "network",
    "PermanentError": "final",
    "QueueConflictError": "conflict",
}
"""The table's word for a branch of the error tree; the nearest branch counts."""

MEANINGS = {
    "setting": "stop with 78: a setting, a right or a file of this computer is wrong; change it",
    "passes": "try again automatically, or hand the job back; no attempt counts (exit code 75)",
    "tried again": "count the attempt, which broke in the worker or the agent; the job is tried "
    "again, up to `max_attempts` times",
    "document": "move a manifest that cannot be read or believed to `rejected/`, with the reason "
    "beside it; submit again, and with keys check both sides' keys",
    "images": "fail the job before inference: the series do not fit the profile or cannot be "
    "placed in space; submit the right ones",
    "Orthanc": "fail the job: Orthanc refuses permanently; a SEG is kept in `refused`",
    "network": "fail the job, as the network's output cannot be used, and test the GPU",
    "final": "fail the job or refuse the command: trying again gives the same answer (exit code 1)",
    "conflict": "look again, as another process was first or uses this agent's id (exit code 75); "
    "give each agent an `agent_id` of its own",
    "record": "write it into a job's history: how an attempt, or the job, has ended",
    "finding": "print it as a line of `lab-agent doctor`",
}
"""What the programs do with an error of each kind, and what the user does."""

_AGAIN = "Nothing: the job is tried again until its attempts are used up."
_SET_IT = "Set it in the environment, as a systemd credential, or run lab-agent setup."

WORDS: Mapping[str, tuple[str, str]] = {
    "agent-lost": ("The agent was silent for longer than its lease, or has died.", _AGAIN),
    "attempts-used-up": (
        "Every attempt at the job has failed; each reason is in its history.",
        "Fix what the last reason names, then run it again: manage.py labseg retry …",
    ),
    "bucket-address": (
        "The queue's address cannot be used; the message says why.",
        "Use https://site.example.org/…/queue, gs://bucket/prefix, rediss://user@host/0/prefix, or "
        "file:///absolute/directory.",
    ),
    "bundle-json": ("A file of the bundle is no JSON object in UTF-8; it is named.", ""),
    "cases": ("The folder of cases, or one of them, is not as it must be; it is named.", ""),
    "clock-off": ("This computer's clock and the store's, or Orthanc's, differ.", ""),
    "configuration": (
        "A setting is missing or wrong; it is named.",
        "Correct the setting and start again.",
    ),
    "failed": ("The job has failed, for the reason that is given.", "As the message says."),
    "gpu-sick": ("The GPU's self-test has failed.", ""),
    "header-value": (
        "A needed value in the headers is missing or in a wrong form; the attribute is named.",
        "",
    ),
    "hurried-by-operator": ("A person let the job be tried again at once.", "Nothing."),
    "job-succeeded": ("The job, or one for the same series, has succeeded already.", ""),
    "limit-reached": (
        "The program has all the open files, processes, threads or memory that it may have.",
        "Raise the limit that the message names.",
    ),
    "local-disk": ("The local disk refused a write, or a read.", "Free space, or check the disk."),
    "manifest-not-json": ("", "Write it as JSON in UTF-8, without a byte order mark."),
    "network-file": ("The file that describes the network is not as it must be.", ""),
    "no-pixel-spacing": ("Pixel Spacing is missing, or in a wrong form that is named.", ""),
    "no-position": (
        "Image Position or Orientation (Patient) is missing, or in a wrong form that is named.",
        "",
    ),
    "orthanc-client-certificate": (
        "The certificate of this side is missing, wrong, or refused by the server.",
        "Check orthanc.client_cert and orthanc.client_key; the message says which.",
    ),
    "orthanc-credentials": (
        "Orthanc, or the proxy before it, does not accept user, password or token.",
        "Correct them; the message says which.",
    ),
    "orthanc-answer": (
        "There is an HTML page, or another service's answer, where Orthanc should answer.",
        "Check the Orthanc address, and what is before Orthanc (proxy, login page).",
    ),
    "orthanc-unavailable": ("Orthanc did not answer, broke off, or has a problem.", ""),
    "orthanc-overwrites": ("", "Set OverwriteInstances to false in Orthanc, and restart it."),
    "orthanc-password-missing": ("There is no password for the Orthanc user.", _SET_IT),
    "orthanc-proxy-password-missing": ("There is no password for the proxy's user.", _SET_IT),
    "pixel-depth": ("", "Send the series as integers of 8, 16 or 32 bits a voxel."),
    "rejected": ("The manifest was moved to rejected/; the reason lies beside it.", "Look at it."),
    "role-mismatch": ("The images do not look like what their roles say; each doubt is named.", ""),
    "profile-invalid": ("The profile is not as it must be; what is wrong is named.", ""),
    "secret-file-unreadable": ("The file of a secret cannot be read, or is not UTF-8.", ""),
    "series-not-shown": (
        "The series cannot be shown; the message says why.",
        "As the message says.",
    ),
    "site-settings": (
        "A value of SEGRELAY is wrong; it is named.",
        "Correct it; the hint says how.",
    ),
    "orthanc-id": ("", "Copy the id from Orthanc's page of the series."),
    "unreadable-image": ("A file of a case cannot be read as a volume; it is named.", ""),
    "store-differs": ("A request to the bucket was answered otherwise than documented.", ""),
    "store-unavailable": ("The bucket, or the queue's directory, did not answer.", ""),
    "submission-refused": ("The request names no job that can be made.", "Correct what is named."),
    "taken-by-operator": ("A person took the job from its agent.", "Nothing."),
    "transient": ("Something that is needed is not there now.", ""),
    "weights-unsafe": ("", "Convert them to safetensors; the message says how."),
}
"""What happened, and what to do, for codes whose words are put together elsewhere."""

_HEAD = """\
# Error codes

*Made by `python -m infra.error_docs.table` from the code; a test compares. The tree of errors is in
[`common/segrelay/errors.py`](../common/segrelay/errors.py).*

An error has a code, a message and a remedy. They are shown by `lab-agent`, `manage.py labseg` and
the page, and are in the log, in results and in attempt records. `…` differs from case to case.

| kind | what the programs do |
|---|---|
"""


@dataclass(frozen=True, kw_only=True, order=True)
class Row:
    """One code, as one place in the code uses it."""

    code: str
    kind: str
    message: str
    remedy: str


@cache
def rows() -> list[Row]:
    """Every code with its words, sorted; one row where several places say the same."""
    source = ErrorSource(ROOT / package for package in PACKAGES)
    found = {row for given in source.given for row in _rows_of(given, source)}
    found |= {
        replace(row, remedy=source.remedies[row.code])
        for row in found
        if row.code in source.remedies
    }
    used = {row.code for row in found}
    found |= {
        Row(code=kind.code, kind=_branch(kind), message=kind.summary, remedy=kind.remedy)
        for kind in source.kinds.values()
        if kind.code not in used and _branch(kind)
    }
    return sorted(_completed(row) for row in found if row.code)


def _branch(kind: Kind) -> str:
    return next((KINDS[base] for base in kind.bases if base in KINDS), "")


def _rows_of(given: Given, source: ErrorSource) -> Iterator[Row]:
    kind = source.kinds.get(given.called)
    if kind is not None:
        message, remedy = next(iter(given.words), ""), given.named.get("remedy", kind.remedy)
        codes, name = given.codes or (kind.code,), _branch(kind)
    elif "detail" in given.named:
        message, remedy = given.named["detail"], given.named.get("remedy", "")
        codes, name = given.codes, "finding"
    else:
        # A function that makes the error; its words are looked up there.
        message, remedy = " ".join(filter(None, given.words)), ""
        codes, name = given.codes, "record"
    for code in codes:
        yield Row(code=code, kind=name, message=message, remedy=remedy)


def _completed(row: Row) -> Row:
    """With the words of :data:`WORDS`, where the place itself has none."""
    message, remedy = WORDS.get(row.code, ("", ""))
    return replace(
        row,
        message=row.message if _has_words(row.message) else message or row.message,
        remedy=row.remedy if _has_words(row.remedy) else remedy or row.remedy,
    )


def _has_words(words: str) -> bool:
    return any(letter.isalpha() for letter in words)


def text() -> str:
    """The content of ``ERRORS.md``."""
    lines = [f"| {kind} | {meaning} |" for kind, meaning in MEANINGS.items()]
    lines += ["", "| code | kind | what happened | what to do |", "|---|---|---|---|"]
    merged: dict[str, list[Row]] = {}
    for row in rows():
        merged.setdefault(row.code, []).append(row)
    for code, same in merged.items():
        kinds = ", ".join(dict.fromkeys(row.kind for row in same))
        messages = " / ".join(dict.fromkeys(row.message for row in same if row.message))
        remedies = " / ".join(dict.fromkeys(row.remedy for row in same if row.remedy))
        lines.append(f"| `{code}` | {kinds} | {_cell(messages)} | {_cell(remedies)} |")
    return _HEAD + "\n".join(lines) + "\n"


def _cell(words: str) -> str:
    return words.replace("``", "`").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def explained(code: str, parser: HelpfulParser) -> str:
    """What a code means, as lines; an unknown one ends the program with the nearest."""
    found = [row for row in rows() if row.code == code]
    if not found:
        parser.error(f"there is no code {code}{did_you_mean(code, {row.code for row in rows()})}")
    return "\n".join(f"{row.code} ({row.kind}): {row.message} {row.remedy}" for row in found)


def main() -> None:
    """Write the table, compare it, or explain single codes."""
    parser = HelpfulParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("codes", nargs="*", metavar="CODE", help="show these codes, write nothing")
    options = parser.parse_args()
    if options.codes:
        print("\n".join(explained(code, parser) for code in options.codes))
        return
    if not options.check:
        FILE.write_text(text(), encoding="utf-8")
        return
    if FILE.read_text(encoding="utf-8") != text():
        sys.stderr.write("ERRORS.md is not up to date. Run: python -m infra.error_docs.table\n")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
