"""Addresses of queues.

==============================  ==================================================
``file:///absolute/directory``  a directory
``gs://bucket/prefix``          a bucket of Google Cloud Storage
``https://site.example/queue``  the hospital's site, as an agent reaches it
``database:``                   the site's own database, at the site itself
``rediss://user@host/0/queue``  a Redis: its database 0, keys that begin with ``queue:``
==============================  ==================================================

Two addresses that differ never lead to one directory by accident. A general parser of URLs would
cut ``file:///srv/queue#2`` and ``file:///srv/queue?2`` to ``file:///srv/queue``, take tabs and line
ends out, and decode what is not UTF-8 to one and the same sign; here each of these is refused, or
read byte for byte. :func:`directory_address` writes what :func:`parse_address` reads.

Source: RFC 8089 (file), RFC 3986 section 2 (per cent), and
https://cloud.google.com/storage/docs/buckets#naming
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from segrelay.errors import FixConfigurationError
from segrelay.http.loopback import is_loopback

_CLOUD = re.compile(
    r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])"
    r"(?P<prefix>(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)/?"
)
"""A bucket and plain folder names."""

_FILE = re.compile(
    r"file:(?://(?P<host>[^/]*)(?P<path>/.*)|(?P<alone>/(?!/).*))", re.IGNORECASE | re.DOTALL
)
DATABASE = "database:"
"""The queue in the site's own database, in the settings of the site."""

_WEB = re.compile(r"https?:", re.IGNORECASE)
_WEB_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
"""Plain names: the address of an endpoint that a Django project serves."""

REDIS_SCHEMES = ("redis:", "rediss:")
"""What addresses of a Redis begin with."""

_REDIS_USER = re.compile(r"[A-Za-z0-9._~-]*")
_REDIS_PATH = re.compile(r"(?:/(?P<database>[0-9]{1,4})(?:/(?P<prefix>[A-Za-z0-9._-]{1,100}))?)?/?")
_NO_PORT = re.compile(
    r"(?P<host>^(?:[a-z]+://)?[^/:\[]*):(?!//|\d{1,5}(?:[/?]|$))[^/?]*", re.IGNORECASE
)
"""A host, and what is no port after its colon."""

_REDIS_PORT = 6379
_REDIS_PREFIX = "segrelay"
_REDIS_OPTIONS = ("allow_plain=yes", "allow_loss=yes")
"""To another computer without TLS; into a Redis that keeps nothing on a disk."""

_DRIVE = re.compile(r"/[A-Za-z]:(?=/|\\|$)")

_ESCAPES = {"#": "%23", "?": "%3F"}
"""What begins another part of an address, and how it is written in a directory's name."""


@dataclass(frozen=True, kw_only=True)
class CloudAddress:
    """A queue in a bucket of Google Cloud Storage."""

    bucket: str
    prefix: str
    """Folder names within the bucket, without slashes at the ends; may be empty."""


@dataclass(frozen=True, kw_only=True)
class SiteAddress:
    """A queue that the hospital's site keeps, as its agents reach it."""

    url: str
    """``https://host[:port]/path`` without a slash at its end; ``http`` only to this computer."""


@dataclass(frozen=True)
class DatabaseAddress:
    """The queue in the site's own database: only the site itself can open it."""


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """A queue in a Redis or Valkey."""

    host: str
    port: int
    user: str
    """Of its access control list; empty: its default user."""
    database: int
    prefix: str
    """Each key of the queue begins with it and a colon."""
    is_encrypted: bool
    allow_loss: bool
    """Use it although it keeps nothing on a disk."""

    @property
    def url(self) -> str:
        """The address without its user and options."""
        scheme = "rediss" if self.is_encrypted else "redis"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}/{self.prefix}"


Address = CloudAddress | SiteAddress | DatabaseAddress | RedisAddress | PurePath
"""Where a queue is; a path is that of an absolute directory."""


def parse_address(address: str, *, windows: bool | None = None) -> Address:
    """Read where a queue is from its address.

    Parameters
    ----------
    windows:
        Whether paths are those of Windows; None: as on this computer.

    Raises
    ------
    FixConfigurationError
        ``bucket-address``: says what is wrong with it, and how it is written.

    >>> parse_address("file:///srv/the%20queue", windows=False)
    PurePosixPath('/srv/the queue')
    >>> parse_address("file:///D:/queue", windows=True)
    PureWindowsPath('D:/queue')
    """
    _check_signs(address)
    if address != address.strip():
        raise _unusable(address, "begins or ends with a space", "Remove the space.")
    cloud = _CLOUD.fullmatch(address)
    if cloud is not None:
        return CloudAddress(bucket=cloud["bucket"], prefix=cloud["prefix"].strip("/"))
    if address.lower() == DATABASE:
        return DatabaseAddress()
    if _WEB.match(address) is not None:
        return SiteAddress(url=_checked_url(address))
    if address.lower().startswith(REDIS_SCHEMES):
        return _redis(address)
    found = _FILE.fullmatch(address)
    if found is None:
        raise _not_an_address(address)
    windows = os.name == "nt" if windows is None else windows
    return _directory(address, found["host"] or "", found["path"] or found["alone"], windows)


def directory_address(directory: PurePath) -> str:
    """The address of an absolute directory.

    Raises
    ------
    ValueError
        It is not absolute.
    """
    # Its ~ is part of a name, not a home folder.
    return directory.as_uri().replace("///~", "///%7E", 1)


def _check_signs(address: str) -> None:
    for character in address:
        if not character.isprintable() and not 0xDC80 <= ord(character) <= 0xDCFF:
            raise _unusable(
                address,
                f"holds a sign that is not printable (U+{ord(character):04X})",
                "Remove it; where it belongs to a directory's name, write its UTF-8 bytes "
                "with per cent, as %09.",
            )


def _checked_url(address: str) -> str:
    parts = _split(address)
    if parts is None or not parts.hostname or not parts.path.strip("/"):
        raise _unusable(
            address,
            "is not the address of a queue that a site keeps",
            "Write it as the site's operator gave it: https://site.example.org/…/queue.",
        )
    if "@" in parts.netloc:
        raise _unusable(
            address,
            "holds a user name or password",
            "Give the address alone; the agent's token is a secret of its own.",
        )
    if parts.query or parts.fragment or _WEB_PATH.fullmatch(parts.path) is None:
        raise _unusable(
            address,
            "goes on after ? or #, or has a path that no site has",
            "Write the address up to …/queue.",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _unusable(
            address,
            "would show the agent's token to the network",
            "Write https://.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _redis(address: str) -> RedisAddress:
    parts = _split(address)
    # Shown without what may be a password.
    form = "Write it as rediss://USER@HOST:6379/0/segrelay: database number, then the keys' prefix."
    if parts is None or not parts.hostname or parts.fragment:
        raise _unusable(address, "is not the address of a Redis", form)
    path = _REDIS_PATH.fullmatch(parts.path)
    if path is None:
        raise _unusable(address, "has a path that is not a database number and a prefix", form)
    user, mark, _ = parts.netloc.rpartition("@")
    if ":" in user:
        raise _unusable(
            address,
            "holds a password",
            "Take it out, and give it as a secret: lab-agent setup asks for it; at the site "
            'SEGRELAY_REDIS_PASSWORD, or SEGRELAY["REDIS_PASSWORD"].',
        )
    if _REDIS_USER.fullmatch(user) is None or (mark and not user):
        raise _unusable(address, "holds a user name that it cannot hold", form)
    options = set(parts.query.split("&")) if parts.query else set()
    if not options <= set(_REDIS_OPTIONS):
        raise _unusable(
            address, "has an unknown option", f"There are {' and '.join(_REDIS_OPTIONS)}."
        )
    is_encrypted = parts.scheme == "rediss"
    if not is_encrypted and not is_loopback(parts.hostname) and "allow_plain=yes" not in options:
        raise _unusable(
            address,
            "would show the password and the queue to the network",
            "Write rediss://; or, where a VPN or another tunnel encrypts, add ?allow_plain=yes.",
        )
    return RedisAddress(
        host=parts.hostname,
        port=parts.port or _REDIS_PORT,
        user=user,
        database=int(path["database"] or 0),
        prefix=path["prefix"] or _REDIS_PREFIX,
        is_encrypted=is_encrypted,
        allow_loss="allow_loss=yes" in options,
    )


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        # Reading the port is what checks it.
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def _directory(address: str, host: str, path: str, windows: bool) -> PurePath:
    for sign, escape in _ESCAPES.items():
        if sign in host + path:
            raise _unusable(
                address,
                f"holds {sign}, which ends the path of an address",
                f"Write {escape} for {sign} in the name of a directory, and the same address on "
                "the site and on every agent.",
            )
    if path.startswith("/~") or host.startswith("~"):
        raise _unusable(
            address,
            "begins with ~, which is no home folder in an address",
            "Write the directory in full: file:///absolute/directory.",
        )
    if host.lower() == "localhost":
        host = ""
    text = _decoded(address, path)
    if windows:
        return _windows_directory(address, _decoded(address, host), text)
    if host:
        raise _names_a_computer(address, host)
    return _checked(address, PurePosixPath(text))


def _decoded(address: str, path: str) -> str:
    """The path with its escapes as the bytes that they are; what is not UTF-8 stays apart."""
    data = unquote_to_bytes(path.encode("utf-8", "surrogateescape"))
    if b"\0" in data:
        raise _unusable(address, "holds a NUL character (%00)", "Remove it.")
    try:
        return os.fsdecode(data)
    except UnicodeDecodeError:
        # On Windows, where names are Unicode.
        raise _unusable(
            address, "holds bytes that are not UTF-8", "Write each name in UTF-8."
        ) from None


def _windows_directory(address: str, host: str, text: str) -> PurePath:
    if re.fullmatch(r"[A-Za-z]:", host):
        raise _unusable(address, "has two slashes before the drive", f"Write file:///{host}{text}.")
    if host or text.startswith("//"):
        # A folder of another computer: \\host\share\…, as file://host/share/….
        name = f"//{host}{text}" if host else text
        if re.match(r"//[^/\\]+[/\\]+[^/\\]", name) is None:
            raise _names_a_computer(address, host)
        return PureWindowsPath(name)
    if _DRIVE.match(text) is None:
        raise _unusable(
            address,
            "names no drive, so it depends on the folder in which the program was started",
            f"Write file:///C:{text}, with the drive that is meant.",
        )
    return _checked(address, PureWindowsPath(text[1:]))


def _checked(address: str, path: PurePath) -> PurePath:
    if not path.parts[1:]:
        raise _unusable(
            address, "names no directory, only the root of the disk", "Name a directory."
        )
    return path


def _not_an_address(address: str) -> FixConfigurationError:
    scheme, mark, _ = address.partition("://")
    if not mark and (address.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", address)):
        plain = address.replace("\\", "/").replace("%", "%25")
        plain = plain.replace("#", "%23").replace("?", "%3F").replace(" ", "%20")
        return _unusable(
            address, "is a directory, not an address", f"Write file:///{plain.lstrip('/')}."
        )
    if scheme.lower() == "file" or address.lower().startswith("file:"):
        return _unusable(
            address,
            "is relative to the folder in which a program is started",
            "Write the directory in full: file:///absolute/directory.",
        )
    if scheme.lower() == "gs":
        return _unusable(
            address,
            "is not gs:// with a bucket and plain folder names",
            "Use gs://bucket/prefix: lower-case letters, digits, - _ . in the bucket's name, and "
            "folder names of letters, digits, - _ . after it.",
        )
    return _unusable(
        address,
        "is not usable",
        "Use https://site.example.org/…/queue, gs://bucket/prefix, rediss://user@host/0/prefix, or "
        "file:///absolute/directory.",
    )


def _names_a_computer(address: str, host: str) -> FixConfigurationError:
    return _unusable(
        address,
        f"names another computer ({host}), or has two slashes where three are meant",
        "Mount the shared folder here, and give file:///the/mounted/directory.",
    )


def _unusable(address: str, why: str, remedy: str) -> FixConfigurationError:
    return FixConfigurationError(
        f"The bucket address {_shown(address)!r} {why}.", code="bucket-address", remedy=remedy
    )


def _shown(address: str) -> str:
    """Without what may be a secret: before an @, and of a server's address also after ? or #, and
    what stands in place of a port."""
    text = address.split("@")[-1].encode("utf-8", "backslashreplace").decode()
    if address.lower().startswith(("http://", "https://", *REDIS_SCHEMES)):
        text = re.sub("[?#].*", "?…", text, flags=re.DOTALL)
        text = _NO_PORT.sub(r"\g<host>:…", text)
    return text
