"""Pages of the site that stay open, without a browser: each asks as the page's scripts do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests

from tests.support.paths import ROOT

HANG_S = 120.0
"""No answer for so long means that the site is starved."""

API = "api/mri/segmentation/"
_SCRIPTS = ROOT / "gcp_side" / "labseg" / "static" / "labseg"
_CSRF_TOKEN = "t" * 32


def pace(name: str) -> float:
    """A constant of ``progress.js`` in seconds, e.g. ``WORK_MS``."""
    text = (_SCRIPTS / "progress.js").read_text()
    found = re.search(rf"^const {name} = (\d+);$", text, re.MULTILINE)
    assert found is not None, name
    return int(found[1]) / 1000


class Visitor:
    """A logged-in user of a site."""

    def __init__(self, url: str, session_key: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set("sessionid", session_key)
        self._session.cookies.set("csrftoken", _CSRF_TOKEN)

    def get(self, path: str) -> requests.Response:
        """An answer, whatever its status."""
        return self._session.get(f"{self._url}/{path}", timeout=HANG_S)

    def post(self, path: str, body: Any) -> requests.Response:
        """An answer, whatever its status."""
        headers = {"X-CSRFToken": _CSRF_TOKEN}
        return self._session.post(f"{self._url}/{path}", json=body, headers=headers, timeout=HANG_S)


class OpenPages:
    """Pages in view that follow one request, each of another user."""

    def __init__(self, visitors: Sequence[Visitor], request_id: str) -> None:
        self._request_id = request_id
        self._changed = threading.Condition()
        self._answers = [0] * len(visitors)
        self._ended = threading.Event()
        self.refused: list[str] = []
        """What was answered other than the request's state."""
        self._threads = [
            threading.Thread(target=self._follow, args=(index, visitor))
            for index, visitor in enumerate(visitors)
        ]

    def wait_for_answers(self, more: int) -> None:
        """Wait until every page has had so many more answers than now."""
        with self._changed:
            wanted = [count + more for count in self._answers]
            assert self._changed.wait_for(
                lambda: (
                    bool(self.refused)
                    or all(have >= want for have, want in zip(self._answers, wanted, strict=True))
                ),
                HANG_S,
            )

    def _follow(self, index: int, visitor: Visitor) -> None:
        while not self._ended.is_set():
            try:
                answer = visitor.get(f"{API}status/{self._request_id}/")
                outcome = str(answer.status_code)
            except requests.RequestException as error:
                outcome = type(error).__name__
            with self._changed:
                self._answers[index] += 1
                if outcome != "200":
                    self.refused.append(outcome)
                self._changed.notify_all()
            self._ended.wait(pace("WORK_MS"))

    @classmethod
    @contextmanager
    def opened(cls, visitors: Sequence[Visitor], request_id: str) -> Iterator[OpenPages]:
        """Pages that are closed with the block."""
        pages = cls(visitors, request_id)
        for thread in pages._threads:
            thread.start()
        try:
            yield pages
        finally:
            pages._ended.set()
            for thread in pages._threads:
                thread.join()
