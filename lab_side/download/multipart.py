"""The parts of a ``multipart/related`` answer as they come (RFC 2046), where each says its length.

Orthanc writes ``Content-Length`` into every part, so no byte of a part is looked at in search of
its end; an answer without it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message

from segrelay.errors import OrthancUnavailableError

_LONGEST_LINE = 8 * 1024
_MOST_HEADERS = 32


class MultipartReader:
    """Reads an answer from front to back.

    Parameters
    ----------
    content_type:
        Of the answer, with its boundary.
    pieces:
        Its body, in pieces of any size.

    Raises
    ------
    OrthancUnavailableError
        Here and in each call: it is no such answer, or it broke off.
    """

    def __init__(self, content_type: str, pieces: Iterator[bytes]) -> None:
        header = Message()
        header["Content-Type"] = content_type
        boundary = header.get_boundary("")
        if header.get_content_maintype() != "multipart" or not boundary:
            raise _unusable()
        self._delimiter = b"--" + boundary.encode("ascii", "replace")
        self._pieces = pieces
        self._piece = b""
        self._at = 0
        """Of the next byte in the piece."""

    def next_part(self) -> int | None:
        """Go to the next part; returns the bytes of its body, None after the last one.

        The body of the part before must have been read.
        """
        line = self._line()
        # An empty line lies between a body and the delimiter.
        if not line:
            line = self._line()
        if line == self._delimiter + b"--":
            return None
        if line != self._delimiter:
            raise _unusable()
        size: int | None = None
        for _ in range(_MOST_HEADERS):
            line = self._line()
            if not line:
                break
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                size = int(value)
        if line or size is None:
            raise _unusable()
        return size

    def body(self, size: int) -> Iterator[memoryview]:
        """The ``size`` bytes of the part that was just begun, in pieces."""
        while size:
            if self._at == len(self._piece) and not self._take_piece():
                raise _broken_off()
            piece = memoryview(self._piece)[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def _line(self) -> bytes:
        """Read a line and return it without its end; the last line may have none."""
        while (end := self._piece.find(b"\r\n", self._at)) < 0:
            if len(self._piece) - self._at > _LONGEST_LINE:
                raise _unusable()
            if not self._take_piece():
                end = len(self._piece)
                if end == self._at:
                    raise _broken_off()
                break
        line = self._piece[self._at : end]
        self._at = min(end + 2, len(self._piece))
        return line

    def _take_piece(self) -> bool:
        """Append the next piece to what is left of the last one; whether there was one."""
        more = next(self._pieces, b"")
        if more:
            self._piece = self._piece[self._at :] + more
            self._at = 0
        return bool(more)


def _broken_off() -> OrthancUnavailableError:
    return OrthancUnavailableError("Orthanc's answer with a series broke off.")


def _unusable() -> OrthancUnavailableError:
    return OrthancUnavailableError("Orthanc's answer with a series is not in parts of known size.")
