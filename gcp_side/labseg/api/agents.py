"""The lab: agents, the profiles on offer, and whether all of the chain answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from rest_framework.request import Request
from rest_framework.response import Response

from gcp_side import __version__
from gcp_side.labseg.api.answers import AgentsAnswer, HealthAnswer, ProfilesAnswer
from gcp_side.labseg.api.base import LabsegView
from gcp_side.labseg.conf import get_conf
from gcp_side.labseg.jobs.agents import profiles_on_offer, snapshot, snapshot_or_empty
from gcp_side.labseg.jobs.freshness import as_sentence, is_kept_fresh, last_pass
from gcp_side.labseg.messages import explain
from gcp_side.labseg.orthanc import client
from segrelay.errors import SegRelayError

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Agents(LabsegView):
    """``GET …/agents/``."""

    answer = AgentsAnswer

    def get(self, request: Request) -> Response:  # noqa: ARG002
        """Every agent that ever sent a heartbeat here, by name."""
        lab = snapshot()
        found = {"agents": lab.agents, "online": len(lab.online), "last_seen": lab.last_seen}
        return Response(self.answer(found).data)


class Profiles(LabsegView):
    """``GET …/profiles/``."""

    answer = ProfilesAnswer

    def get(self, request: Request) -> Response:  # noqa: ARG002
        """What living agents offer; what is configured while none lives."""
        offers = profiles_on_offer(snapshot_or_empty(), get_conf())
        return Response(self.answer({"profiles": offers}).data)


class Health(LabsegView):
    """``GET …/health/``."""

    answer = HealthAnswer

    def get(self, request: Request) -> Response:  # noqa: ARG002
        """Whether queue and Orthanc answer; ``degraded`` where one does not.

        ``sync`` says whether something keeps all jobs up to date; pages work without it.
        """
        lab, queue = _ask(snapshot)
        _, orthanc = _ask(lambda: client.connect().ping())
        checks = {"queue": queue, "orthanc": orthanc}
        last = last_pass()
        found = {
            "status": "ok" if set(checks.values()) == {"ok"} else "degraded",
            **checks,
            "sync": "ok" if is_kept_fresh(last) else as_sentence(last),
            "last_sync": last,
            "agents_online": len(lab.online) if lab else 0,
            "version": __version__,
        }
        return Response(self.answer(found).data)


def _ask(question: Callable[[], Answer]) -> tuple[Answer | None, str]:
    """The answer, and ``ok`` or what is wrong in a sentence."""
    try:
        return question(), "ok"
    except SegRelayError as error:
        logger.warning("health check failed: %s: %s", error.code, error.message)
        return None, explain(error).message
