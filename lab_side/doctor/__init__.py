"""Checks of an installation, run before it is trusted.

A check is a small function that checks one thing, leaves nothing behind, and returns a
:class:`~lab_side.doctor.finding.Finding`; it never raises for what it was made to find.

``finding``   what a check says      ``queue``   the queue: address, sign-in, honesty
``rights``    every step of a job, really done in the queue
``settings``  the cloud bucket's settings
``orthanc``   the way to Orthanc, what it permits, how fast it is
``site``      the queue at the hospital's site: token, certificate, waiting calls
``certificate``  how long a server's certificate is valid
``instance``  what ``--write`` stores   ``clock``  this computer's clock against others
``computer``  disk, models, GPU, and whether the agent runs
"""

from lab_side.doctor.finding import Finding, Verdict, failed

__all__ = ["Finding", "Verdict", "failed"]
