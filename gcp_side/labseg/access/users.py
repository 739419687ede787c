"""A user who is deleted is forgotten by the jobs, whichever database these are in."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.db.models.signals import pre_delete

from gcp_side.labseg.models import Job


def watch_users() -> None:
    """Have deletions of users reported, also those by a proxy of the project's user model.

    Django reports a deletion under the very class that was deleted by; receivers for all classes
    would slow down every deletion of the project.
    """
    users = get_user_model()._meta.concrete_model
    for model in apps.get_models():
        if model._meta.concrete_model is users:
            uid = f"labseg-users-{model._meta.label}"
            pre_delete.connect(forget_user, sender=model, dispatch_uid=uid)


def forget_user(instance: Model, **_: Any) -> None:
    """Clear ``requested_by``; a confirmation keeps the name it was given with.

    Before the deletion: tables of older versions of this app have a constraint, which some
    databases check at once.
    """
    Job.objects.filter(requested_by_id=instance.pk).update(requested_by=None)
