"""Another keyring than the computer's, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keyring
from keyring.backend import KeyringBackend


@contextmanager
def keyring_replaced(ring: KeyringBackend) -> Iterator[None]:
    """Let this process keep and find secrets in ``ring``; afterwards where it did before."""
    before = keyring.get_keyring()
    keyring.set_keyring(ring)
    try:
        yield
    finally:
        keyring.set_keyring(before)
