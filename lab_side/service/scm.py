"""Names of the service in Windows, and how long Windows waits for it.

Nothing is imported here: Windows gives a service half a minute until it answers.
"""

from __future__ import annotations

DESCRIPTION = "MRI segmentation on this computer's GPU. lab-agent status shows what it does."

PRESHUTDOWN_S = 180
"""What Windows waits for the service before it shuts down."""


def display_name(name: str) -> str:
    """Return what the list of services shows for the service of that name."""
    return f"SegRelay agent ({name})"
