"""Object names: where every document lives, and what a job's name says.

::

    v1/jobs/pending/<prio>-<ulid>~<profile>~<n>.json           n = how often it was claimed before
    v1/jobs/claimed/<agent>/<prio>-<ulid>~<profile>~<n>.json   n counts this claim
    v1/jobs/agents/<agent>.json                                heartbeat
    v1/attempts/<ulid>/<n>.json                                how attempt n ended
    v1/progress/<ulid>.json                                    finer progress for the page
    v1/done/<prio>-<ulid>~<profile>.json                       archive: the unchanged manifest
    v1/failed/<prio>-<ulid>~<profile>.json                     dead letters, the same
    v1/rejected/<prio>-<ulid>~<profile>.json (+ .reason.json)  unreadable manifests, unchanged
    v1/results/<ulid>.json                                     the only commit point

``v1`` is the schema's major version: an older agent never sees newer jobs. Plain listing
order of ``pending/`` is priority, then first in first out, because ULIDs sort by time. One
list of ``v1/jobs/`` shows heartbeats, claims and queue, whatever the length of the history.

Names use ``[0-9a-z~-]`` only, never differ by case alone and are never reserved on Windows.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, replace

from segrelay.profiles import MAX_PROFILE_LENGTH, PROFILE_NAME
from segrelay.ulid import ULID_PATTERN

VERSION = "v1"
JOBS = f"{VERSION}/jobs/"
PENDING = f"{JOBS}pending/"
CLAIMED = f"{JOBS}claimed/"
AGENTS = f"{JOBS}agents/"
PROBE = f"{JOBS}.probe/"
ATTEMPTS = f"{VERSION}/attempts/"
PROGRESS = f"{VERSION}/progress/"
DONE = f"{VERSION}/done/"
FAILED = f"{VERSION}/failed/"
REJECTED = f"{VERSION}/rejected/"
RESULTS = f"{VERSION}/results/"

MAX_AGENT_LENGTH = 40
MAX_OBJECT_LENGTH = 512
"""Characters of an object's name in a store of this program's own; the queue's have about 100."""
MAX_FENCE = 999_999
"""The greatest claim number that a name can hold; a job that has it cannot be claimed again."""

_JOB = re.compile(
    rf"(?P<priority>[0-9])-(?P<job_id>{ULID_PATTERN})"
    rf"~(?P<profile>{PROFILE_NAME.pattern})~(?P<fence>0|[1-9][0-9]{{0,5}})\.json"
)
_AGENT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PLAIN = re.compile(r"[0-9A-Za-z~_-][0-9A-Za-z~._ -]{0,99}")
_USUAL = re.compile(r"(?:[\w~-][\w~.-]*/)*[\w~-][\w~.-]*", re.ASCII)
"""Paths that need no look at each character: those of the queue's own objects are such."""
_WINDOWS_DEVICES = re.compile(
    r"(con|conin\$|conout\$|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])[ .]*([.:].*)?",
    re.DOTALL,
)
"""https://learn.microsoft.com/windows/win32/fileio/naming-a-file#naming-conventions"""

_SHOWN = 200

_NAMELESS = "lab"
"""An agent on a computer whose name gives no id."""

SITE = "site"
"""Who writes what the hospital's site writes; no agent may be called so."""


@dataclass(frozen=True, kw_only=True, order=True)
class JobName:
    """The parts of a manifest's name; sorts as the queue is served."""

    priority: int
    """0..9, 0 first."""
    job_id: str
    """ULID."""
    profile: str
    """The profile the job needs: enough to decide before claiming."""
    fence: int
    """How often the job has been claimed, this claim included."""

    @property
    def file_name(self) -> str:
        """``<prio>-<ulid>~<profile>~<n>.json``."""
        return f"{self.priority}-{self.job_id}~{self.profile}~{self.fence}.json"

    @property
    def pending(self) -> str:
        """Object name in the queue."""
        return PENDING + self.file_name

    def claimed_by(self, agent: str) -> str:
        """Object name while ``agent`` owns this claim."""
        return f"{CLAIMED}{agent}/{self.file_name}"

    @property
    def next_claim(self) -> JobName:
        """The name that the next claim gives it."""
        return replace(self, fence=self.fence + 1)

    @property
    def archived_name(self) -> str:
        """``<prio>-<ulid>~<profile>.json``: without the fence, so that two copies of one job
        that were claimed differently often meet in the archive and become one."""
        return f"{self.priority}-{self.job_id}~{self.profile}.json"

    @property
    def done(self) -> str:
        """Object name in the archive of ended jobs."""
        return DONE + self.archived_name

    @property
    def failed(self) -> str:
        """Object name among the dead letters."""
        return FAILED + self.archived_name

    @property
    def rejected(self) -> str:
        """Object name among the manifests set aside."""
        return REJECTED + self.archived_name


def parse_job_name(file_name: str) -> JobName | None:
    """Read ``<prio>-<ulid>~<profile>~<n>.json``; None when it is not of that form."""
    match = _JOB.fullmatch(file_name)
    if match is None or len(match["profile"]) > MAX_PROFILE_LENGTH:
        return None
    return JobName(
        priority=int(match["priority"]),
        job_id=match["job_id"],
        profile=match["profile"],
        fence=int(match["fence"]),
    )


def is_agent_id(text: str) -> bool:
    """Return whether ``text`` may name an agent: lower-case words, digits, single hyphens, ≤ 40."""
    return (
        len(text) <= MAX_AGENT_LENGTH
        and _AGENT.fullmatch(text) is not None
        and not is_reserved(text)
        and text != SITE
    )


def why_no_agent_id(text: str) -> str:
    """Return what must be changed in a text that names no agent (:func:`is_agent_id`)."""
    if not text.strip():
        return "is empty; use lower-case letters, digits and single hyphens, at most 40"
    if text == SITE:
        return "is kept for the hospital's site; take another name"
    if is_reserved(text):
        return "is a name that Windows reserves; take another name"
    return "use lower-case letters, digits and single hyphens, at most 40"


def is_reserved(name: str) -> bool:
    """Return whether Windows takes a file of this name for a device, or cuts the name at its end.

    >>> is_reserved("con"), is_reserved("Aux.json"), is_reserved("icon"), is_reserved("end. ")
    (True, True, False, True)
    """
    return _WINDOWS_DEVICES.fullmatch(name.lower()) is not None or name != name.rstrip(" .")


def agent_id_of(host: str) -> str:
    """An agent id that is as near as can be to a computer's name, and always valid.

    >>> agent_id_of("LAB_PC.01"), agent_id_of("con"), agent_id_of("site"), agent_id_of("")
    ('lab-pc-01', 'lab-con', 'lab-site', 'lab')
    """
    words = "".join(c if c.isalnum() and c.isascii() else "-" for c in host.lower())
    plain = "-".join(word for word in words.split("-") if word)[:MAX_AGENT_LENGTH].strip("-")
    if not plain:
        return _NAMELESS
    return plain if is_agent_id(plain) else f"{_NAMELESS}-{plain}"


def agent_object(agent: str) -> str:
    """Name of an agent's heartbeat."""
    return f"{AGENTS}{agent}.json"


def result_object(job_id: str) -> str:
    """Name of a job's result."""
    return f"{RESULTS}{job_id}.json"


def progress_object(job_id: str) -> str:
    """Name of a job's progress."""
    return f"{PROGRESS}{job_id}.json"


def attempt_object(job_id: str, attempt: int) -> str:
    """Name of the record of how an attempt ended."""
    return f"{ATTEMPTS}{job_id}/{attempt}.json"


def reason_object(rejected: str) -> str:
    """Name of the reason that lies beside a rejected manifest."""
    return f"{rejected.removesuffix('.json')}.reason.json"


def is_usable(name: str) -> bool:
    """Return whether every store can address an object of this name.

    Folder placeholders (``pending/``), doubled slashes, ``.`` and ``..``, backslashes and
    control characters can be listed in a bucket and are never moved, read or deleted.

    >>> is_usable("v1/jobs/pending/x.json"), is_usable("v1/jobs/pending/")
    (True, False)
    """
    if _USUAL.fullmatch(name):
        return True
    return all(part not in ("", ".", "..") for part in name.split("/")) and not any(
        character == "\\" or unicodedata.category(character) == "Cc" for character in name
    )


def can_be_stored(name: str) -> bool:
    """Return whether the site's database and a Redis take an object of this name.

    >>> can_be_stored("v1/jobs/pending/x.json"), can_be_stored("x" * 513)
    (True, False)
    """
    is_text = name.encode(errors="replace") == name.encode(errors="surrogatepass")
    return is_text and len(name) <= MAX_OBJECT_LENGTH and is_usable(name)


def as_shown(name: str) -> str:
    """An object's name for a log, a table or JSON: printable, at most 200 characters.

    >>> as_shown("v1/jobs/pending/a" + chr(10) + "b.json")
    'v1/jobs/pending/a\\\\nb.json'
    """
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name[:_SHOWN])
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def set_aside_name(misnamed: str) -> str:
    """Return where an object in ``pending/`` whose name is not a job's is set aside.

    A plain name stays as it is; one that no store, or not every store, could hold is told
    apart from others by its digest.
    """
    name = misnamed.removeprefix(PENDING)
    if _PLAIN.fullmatch(name) is None or is_reserved(name):
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
        name = f"misnamed-{digest}.json"
    return REJECTED + name
