"""A user who is deleted is forgotten by the jobs, whichever database these are in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from gcp_side.labseg.models import Job


@receiver(pre_delete, sender=settings.AUTH_USER_MODEL, dispatch_uid="labseg-users")
def forget_user(instance: Model, **_: Any) -> None:
    """Clear ``requested_by``; a confirmation keeps the name it was given with.

    Before the deletion: tables of older versions of this app have a constraint, which some
    databases check at once.
    """
    Job.objects.filter(requested_by_id=instance.pk).update(requested_by=None)
