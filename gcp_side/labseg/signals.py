"""What other apps can listen to.

::

    from django.dispatch import receiver
    from gcp_side.labseg.signals import job_finished

    @receiver(job_finished)
    def notify_the_radiologist(sender, job, **kwargs):
        if job.state == "succeeded":
            ...
"""

from __future__ import annotations

from django.dispatch import Signal

job_finished = Signal()
"""A job has come to its end: ``succeeded``, ``failed`` or ``cancelled``.

``sender`` is the model class, ``job`` its row as it was committed. It is sent once for each
job, after the commit, by whichever process wrote the end: a page's status request, ``labseg
sync`` or the push endpoint. An exception of a receiver is logged and stops nobody. A process
that is killed between the commit and the signal sends none: what must never be missed belongs
into a query for jobs that have ended. ``rejected`` and ``result-unreadable`` are no ends, an
operator can fix them.
"""
