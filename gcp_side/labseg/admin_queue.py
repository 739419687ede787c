"""The queue that the site keeps, in Django's admin: the agents' tokens, and objects to look at.

A token is added by the agent's id and shown once, in a message; nobody sees a digest, and nobody
changes an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from gcp_side.labseg.host.addresses import queue_path
from gcp_side.labseg.queue.rows import AgentToken, QueueObject
from gcp_side.labseg.queue.store import below
from gcp_side.labseg.queue.tokens import new_token, revoke
from segrelay import names

if TYPE_CHECKING:
    # Only the type stubs know these classes as generic.
    TokenModelAdmin = admin.ModelAdmin[AgentToken]
    ObjectModelAdmin = admin.ModelAdmin[QueueObject]
    TokenForm = forms.ModelForm[AgentToken]
else:
    from django.contrib.admin import ModelAdmin as ObjectModelAdmin
    from django.contrib.admin import ModelAdmin as TokenModelAdmin
    from django.forms import ModelForm as TokenForm


class AgentTokenForm(TokenForm):
    """A new token: the agent's id, and nothing else."""

    class Meta:
        model = AgentToken
        fields = ("agent",)
        help_texts: ClassVar = {
            "agent": _("The name of the computer in the queue, for which lab-agent setup asks.")
        }

    def clean_agent(self) -> str:
        """Return an id that an agent can have.

        Raises
        ------
        ValidationError
            The text is none.
        """
        agent = str(self.cleaned_data["agent"])
        if not names.is_agent_id(agent):
            raise ValidationError(
                _(
                    "This is no agent's id: use lower-case letters, digits and single hyphens, "
                    "at most 40, as lab-agent status shows it."
                )
            )
        return agent


@admin.register(AgentToken)
class AgentTokenAdmin(TokenModelAdmin):
    """Tokens, made and revoked; none is deleted, so that it stays known who had one."""

    form = AgentTokenForm
    list_display = ("agent", "created_at", "used_at", "revoked_at")
    list_filter = ("agent", "revoked_at")
    fields = ("agent",)
    actions = ("revoke_selected",)

    def has_change_permission(self, *_: Any) -> bool:
        """Nobody edits a token."""
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        """Nobody deletes a token."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether the user may take tokens out of use."""
        return request.user.has_perm("labseg.change_agenttoken")

    def get_fields(self, request: HttpRequest, obj: AgentToken | None = None) -> Any:  # noqa: ARG002
        """The agent's id of a new one; of one that is there, also its times."""
        return ("agent",) if obj is None else self.list_display

    def save_model(self, request: HttpRequest, obj: AgentToken, form: Any, change: bool) -> None:  # noqa: ARG002
        """Make the token, and show it once."""
        row, token = new_token(obj.agent)
        obj.pk, obj.created_at, obj.digest = row.pk, row.created_at, row.digest
        try:
            address = request.build_absolute_uri(queue_path())
        except NoReverseMatch:
            address = ""
        self.message_user(
            request,
            format_html(
                gettext(
                    "The token of {agent}, which is not shown again: {token} Give it to the lab "
                    "with the address of the queue: {address}"
                ),
                agent=obj.agent,
                token=token,
                address=address,
            ),
            messages.WARNING,
        )

    @admin.action(description=_("Revoke the selected tokens"), permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, rows: QuerySet[AgentToken]) -> None:
        """Take tokens out of use at once."""
        count = revoke(rows)
        text = ngettext("%(count)s token was revoked.", "%(count)s tokens were revoked.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)


class PrefixFilter(admin.SimpleListFilter):
    """Objects of one part of the queue."""

    title = _("part of the queue")
    parameter_name = "part"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the names of the parts, as the queue's documents call them."""
        prefixes = (
            names.PENDING,
            names.CLAIMED,
            names.AGENTS,
            names.RESULTS,
            names.DONE,
            names.FAILED,
            names.REJECTED,
            names.ATTEMPTS,
            names.PROGRESS,
        )
        return [(prefix, prefix) for prefix in prefixes]

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[QueueObject],
    ) -> QuerySet[QueueObject]:
        """Return the objects below the chosen prefix."""
        prefix = self.value()
        return queryset & below(prefix) if prefix else queryset


@admin.register(QueueObject)
class QueueObjectAdmin(ObjectModelAdmin):
    """Names, sizes and times of the objects, to look at; their content is the agents'."""

    list_display = ("name", "size", "updated")
    list_filter = (PrefixFilter,)
    search_fields = ("name",)
    search_help_text = _("Part of an object's name, as a job's id.")
    fields = readonly_fields = ("name", "size", "updated", "generation")
    ordering = ("name",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[QueueObject]:
        """Return the rows without what they hold."""
        return super().get_queryset(request).defer("content", "metadata")

    def has_add_permission(self, *_: Any) -> bool:
        """Nobody writes an object here."""
        return False

    def has_change_permission(self, *_: Any) -> bool:
        """Nobody writes an object here."""
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        """Nobody deletes an object here."""
        return False
