"""Renames and removals wait for whoever looks at a file on Windows, but not for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from segrelay import retry
from segrelay.system.sharing_violation import retry_sharing_violation

RETRIES = retry.SHARING_VIOLATION.tries


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "SHARING_VIOLATION", retry.RetryPolicy(first=0, tries=RETRIES))


class _RefusedError(PermissionError):
    """As Windows raises it: with its own number."""

    def __init__(self, winerror: int | None) -> None:
        super().__init__(13, "refused")
        self.winerror = winerror


def refusing(times: int, winerror: int | None) -> Callable[[], str]:
    """An action that is refused so often, then done."""
    left = [times]

    def act() -> str:
        if left[0] > 0:
            left[0] -= 1
            raise _RefusedError(winerror)
        return "done"

    return act


@pytest.mark.parametrize("winerror", [5, 32, 33])
def test_a_sharing_violation_is_waited_out(winerror: int) -> None:
    assert retry_sharing_violation(refusing(RETRIES, winerror)) == "done"
    with pytest.raises(_RefusedError):
        retry_sharing_violation(refusing(RETRIES + 1, winerror))


@pytest.mark.parametrize("winerror", [2, 3])
def test_another_refusal_is_told_at_once(winerror: int | None) -> None:
    with pytest.raises(_RefusedError):
        retry_sharing_violation(refusing(1, winerror))


def test_on_windows_an_untold_refusal_may_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("os.name", "nt")
        assert retry_sharing_violation(refusing(RETRIES, None)) == "done"
