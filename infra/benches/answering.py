"""The contender's side of ``child``: read a line of JSON, do it, answer with a line.

This module is also imported where only the peers are installed: standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def answer_lines(answer: Callable[[dict[str, Any]], object]) -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        answered = answer(json.loads(line))
        # What this one left for later must not be charged to the next one's time.
        os.sync()
        sys.stdout.write(json.dumps(answered) + "\n")
        sys.stdout.flush()
