"""Tables of the queue that the site keeps: objects, their arrival, and the agents' tokens.

Only :mod:`gcp_side.labseg.queue.store` writes objects, only :mod:`gcp_side.labseg.queue.tokens`
tokens.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from gcp_side.labseg.host.database import FreshManager, NameField, UtcTimeField
from segrelay.names import MAX_AGENT_LENGTH, MAX_OBJECT_LENGTH


class QueueObject(models.Model):
    """One object of the queue (:class:`segrelay.bucket.Bucket`)."""

    name = NameField(_("object"), max_length=MAX_OBJECT_LENGTH, unique=True)
    generation = models.BigIntegerField(_("generation"))
    updated = UtcTimeField(_("changed at"))
    """The database's clock at the last write or move."""
    size = models.PositiveIntegerField(_("bytes"))
    """Bytes of content."""
    content = models.BinaryField()
    metadata = models.TextField(null=True)  # noqa: DJ001 (an empty text is a heartbeat's, too)
    """JSON of a heartbeat's metadata; null of an object with content."""
    nonce = models.CharField(max_length=32, blank=True)
    """Of the request that wrote or moved it last."""

    objects = FreshManager()

    class Meta:
        verbose_name = _("object in the queue")
        verbose_name_plural = _("objects in the queue")
        default_permissions = ("view",)
        base_manager_name = "objects"

    def __str__(self) -> str:
        return str(self.name)


class QueueChange(models.Model):
    """How often something new became pending: one row, changed with what it counts."""

    number = models.PositiveBigIntegerField(default=0)

    objects = FreshManager()

    class Meta:
        default_permissions = ()
        base_manager_name = "objects"

    def __str__(self) -> str:
        return str(self.number)


class AgentToken(models.Model):
    """A way into the queue for one agent; the token itself is not stored."""

    agent = models.CharField(_("agent"), max_length=MAX_AGENT_LENGTH, db_index=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    """SHA-256 of the token, in hexadecimal digits."""
    created_at = UtcTimeField(_("made at"))
    used_at = UtcTimeField(_("last used at"), null=True, blank=True)
    """To the minute."""
    revoked_at = UtcTimeField(_("revoked at"), null=True, blank=True)

    objects = FreshManager()

    class Meta:
        verbose_name = _("token of an agent")
        verbose_name_plural = _("tokens of agents")
        ordering = ("agent", "created_at")
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.agent
