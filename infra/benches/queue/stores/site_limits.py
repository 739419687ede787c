"""Threads of the measured site; its own process imports this and nothing else of the bench."""

from __future__ import annotations

WORKERS = 2
"""As the project's own settings of gunicorn."""

THREADS = 64
"""Of a process: an idle agent holds one."""

WAITING = 56
"""Calls that a process holds; the others' requests are left their threads."""
