"""The lab as its heartbeats show it: who is there, and which profiles are on offer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gcp_side.labseg.conf import Conf, get_conf
from gcp_side.labseg.host.caching import cache_key, default_cache
from gcp_side.labseg.queue.access import get_bucket
from gcp_side.labseg.recognition import usual_rule
from segrelay.errors import TransientError
from segrelay.names import SITE
from segrelay.offers import Offer, OfferedRole
from segrelay.queue import Heartbeat, Life, scan
from segrelay.queue.lease import store_now

logger = logging.getLogger(__name__)

_CACHE_KEY = cache_key("agents")

SNAPSHOT_SECONDS = 4.0
"""Between two readings of the heartbeats, which come every half minute: less often than of jobs."""


@dataclass(frozen=True, kw_only=True)
class LabAgent:
    """An agent, as its last heartbeat shows it."""

    name: str
    heartbeat: Heartbeat
    last_heartbeat: datetime
    """The store's clock."""
    silent: timedelta
    """Since then, by the store's clock."""
    is_online: bool
    """Whether it may be expected to work."""

    def may_have(self, profile: str) -> bool:
        """Whether it has the profile; a heartbeat without room for the names rules none out."""
        return not self.heartbeat.profiles or profile in self.heartbeat.profiles


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Every agent that ever sent a heartbeat here."""

    agents: tuple[LabAgent, ...] = ()
    """By name."""

    @property
    def online(self) -> tuple[LabAgent, ...]:
        """Those that live."""
        return tuple(agent for agent in self.agents if agent.is_online)

    @property
    def last_seen(self) -> datetime | None:
        """When any agent sent its last heartbeat, by the store's clock."""
        return max((agent.last_heartbeat for agent in self.agents), default=None)


@dataclass(frozen=True, kw_only=True)
class ProfileOnOffer:
    """A profile that can be asked for."""

    offer: Offer
    is_online: bool
    """Whether a living agent has it."""
    is_default: bool


def snapshot() -> Lab:
    """The lab now, or as another call saw it at most :data:`SNAPSHOT_SECONDS` ago.

    With ``REFRESH_SECONDS`` above that it is as old as those allow, and with 0 always new.

    Raises
    ------
    StoreUnavailableError, FixConfigurationError
        The queue cannot be asked.
    """
    pause = get_conf().refresh_seconds
    seen: Lab | None = default_cache.get(_CACHE_KEY) if pause else None
    if seen is None:
        seen = _read_heartbeats()
        if pause:
            default_cache.set(_CACHE_KEY, seen, timeout=max(pause, SNAPSHOT_SECONDS))
    return seen


def snapshot_or_empty() -> Lab:
    """As :func:`snapshot`; empty where the queue does not answer: submitting goes on without."""
    try:
        return snapshot()
    except TransientError as error:
        logger.warning("heartbeats not read: %s", error.message)
        return Lab()


def profiles_on_offer(lab: Lab, conf: Conf) -> tuple[ProfileOnOffer, ...]:
    """What living agents have; while none lives, what the site is configured for.

    A configured profile has the roles of the settings: nobody signs a heartbeat. Its texts are
    from any heartbeat, a dead agent's too.
    """
    living = {name for agent in lab.online for name in agent.heartbeat.profiles}
    reported = _best_reported(lab)
    chosen = [
        offer
        for name in sorted(living) or conf.profiles
        if (offer := _offer(name, reported.get(name), conf)) is not None
    ]
    # Heartbeats without room may report names alone; then the settings are all there is.
    chosen = chosen or [_configured(name, reported.get(name), conf) for name in conf.profiles]
    names = [offer.name for offer in chosen]
    usual = conf.usual_profile if conf.usual_profile in names else names[0]
    return tuple(
        ProfileOnOffer(offer=offer, is_online=offer.name in living, is_default=offer.name == usual)
        for offer in chosen
    )


def offer_for(profile: str, roles: Sequence[str], lab: Lab, conf: Conf) -> Offer:
    """What is known of a profile, for these roles: names alone where no agent has reported it."""
    return _with_roles(profile, _offer(profile, _best_reported(lab).get(profile), conf), roles)


def offered_roles(profile: str, lab: Lab) -> tuple[str, ...] | None:
    """The roles of a profile that a living agent offers, in channel order; None if none does."""
    for agent in lab.online:
        for offer in agent.heartbeat.offers:
            if offer.name == profile:
                return _roles(offer)
    return None


def _read_heartbeats() -> Lab:
    bucket = get_bucket()
    heartbeats = scan(bucket).agents
    if not heartbeats:
        return Lab()
    now = store_now(bucket, SITE)
    return Lab(
        agents=tuple(
            LabAgent(
                name=name,
                heartbeat=seen.heartbeat,
                last_heartbeat=seen.updated,
                # A heartbeat during the listing may be younger than the time asked for after it.
                silent=max(timedelta(0), now - seen.updated),
                is_online=seen.heartbeat.life(seen.updated, lambda: now) is Life.RUNNING,
            )
            for name, seen in sorted(heartbeats.items())
        )
    )


def _best_reported(lab: Lab) -> dict[str, Offer]:
    """One offer of each name: a living agent's if there is one, else the last that was reported.

    One without texts gives way to one with texts and the same roles.
    """
    reported: dict[str, Offer] = {}
    for offer in _offers(lab.online) + _offers(lab.agents):
        known = reported.setdefault(offer.name, offer)
        if known.title is None and offer.title is not None and _roles(known) == _roles(offer):
            reported[offer.name] = offer
    return reported


def _roles(offer: Offer) -> tuple[str, ...]:
    return tuple(item.role for item in offer.roles)


def _offers(agents: Iterable[LabAgent]) -> list[Offer]:
    return [offer for agent in agents for offer in agent.heartbeat.offers]


def _offer(name: str, reported: Offer | None, conf: Conf) -> Offer | None:
    return _configured(name, reported, conf) if name in conf.profiles else reported


def _configured(name: str, reported: Offer | None, conf: Conf) -> Offer:
    """A role's name that says what it means is not reinterpreted by what nobody signed."""
    offer = _with_roles(name, reported, conf.profiles[name])
    roles = (
        item if usual_rule(item.role) is None else item.model_copy(update={"recognition": None})
        for item in offer.roles
    )
    return offer.model_copy(update={"roles": tuple(roles)})


def _with_roles(name: str, reported: Offer | None, roles: Sequence[str]) -> Offer:
    """What is known of a profile, with these roles: names alone for those not reported."""
    by_role = {} if reported is None else {item.role: item for item in reported.roles}
    wanted = tuple(by_role.get(role, OfferedRole(role=role)) for role in roles)
    known = Offer(name=name, roles=wanted) if reported is None else reported
    return known.model_copy(update={"roles": wanted})
