"""Notes on a result that both sides know: the lab writes them, the site shows them in large.

They are among a result's ``warnings``, in English, where an older site shows them as they are.
"""

from __future__ import annotations

NOT_FOR_PATIENTS = (
    "NOT FOR PATIENTS: this profile only shows how the program works; its result says nothing "
    "about a patient."
)
"""Of every result of a profile with ``for_patients`` false."""
