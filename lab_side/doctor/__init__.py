"""Checks that a person runs before trusting an installation.

A check is a small function that looks at one thing, changes nothing, and returns a
:class:`~lab_side.doctor.finding.Finding`; it never raises for what it was made to find.

``finding``   what a check says      ``queue``   the queue: address, sign-in, honesty
``settings``  the cloud bucket's settings
``orthanc``   the way to Orthanc, and whether it answers
"""

from lab_side.doctor.finding import Finding, Verdict, failed

__all__ = ["Finding", "Verdict", "failed"]
