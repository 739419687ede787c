"""The settings dict ``SEGRELAY``: read once, checked, typed.

::

    SEGRELAY = {
        "BUCKET": "file:///srv/segrelay",
        "ORTHANC_URL": "https://orthanc.example.org",
        "ORTHANC_USER": "site",
        "ORTHANC_PASSWORD": "…",
        "PROFILES": {"demo": ["dce-0", "dce-1", "dce-2", "dce-3"]},
        "DEFAULT_PROFILE": "demo",
    }
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from django.conf import global_settings, settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from rest_framework.authentication import BaseAuthentication

from segrelay.bucket import Bucket
from segrelay.bucket.address import SiteAddress, parse_address
from segrelay.bucket.sealed import SealedBucket
from segrelay.errors import FixConfigurationError
from segrelay.manifest import Labels, Role
from segrelay.orthanc import OrthancSettings, check_usable
from segrelay.parsing.validation import describe_errors, form
from segrelay.profiles import ProfileName
from segrelay.signing import PublicKey, SigningKey, Trust
from segrelay.system.nearest import did_you_mean, nearest

REMEDIES = {
    "BUCKET": "Set it to the queue's address: database: for the site's own database, "
    "gs://bucket/prefix, rediss://user@host/0/prefix or file:///srv/segrelay.",
    "ORTHANC_URL": "Set it to Orthanc's address, e.g. https://orthanc.example.org.",
    "OHIF_URL": "Set it to the address of OHIF's viewer page, e.g. https://ohif.example.org/viewer.",
    "PROFILES": "Map each profile's name to the list of its roles, in channel order.",
    "DEFAULT_PROFILE": "Name one of the keys of PROFILES.",
    "DEFAULT_LABELS": "Map keys of PROFILES to lists of labels: small letters, digits, hyphens.",
    "SUBMIT_RATE": "Write a number and a period, e.g. 30/min.",
    "READ_RATE": "Write a number and a period, e.g. 600/min.",
    "QUEUE_RATE": "Write a number and a period, e.g. 1200/min.",
    "GUESS_RATE": "Write a number and a period, e.g. 10/h.",
    "GUESS_ADDRESS_RATE": "Write a number and a period, e.g. 100/h.",
    "SIGNING_KEY": "Make a pair with `manage.py labseg keygen`.",
    "AGENT_KEYS": "List the public keys that `lab-agent keygen` printed on the agents' computers.",
    "PUSH_AUDIENCE": "Set both as the push subscription has them, or neither.",
    "CACHE": "Name one of the keys of CACHES.",
    "AUTHENTICATION_CLASSES": "List paths of classes, e.g. "
    "rest_framework.authentication.SessionAuthentication; the pages need that one.",
}
"""What to do about a wrong value, by key."""

ORTHANC_SECRETS = ("ORTHANC_PASSWORD", "ORTHANC_TOKEN", "ORTHANC_PROXY_PASSWORD")
SECRETS = (*ORTHANC_SECRETS, "REDIS_PASSWORD")
"""Keys whose value may be a function."""

FUNCTION_REMEDY = "Correct the function, or what it asks for the secret."

ORTHANC_KEYS = {
    "orthanc-two-credentials": "ORTHANC_TOKEN",
    "orthanc-token": "ORTHANC_TOKEN",
    "orthanc-ca-file": "ORTHANC_CA_FILE",
    "orthanc-client-certificate": "ORTHANC_CLIENT_CERT",
    "orthanc-proxy": "ORTHANC_PROXY",
}
"""The key that an error of Orthanc's settings is about, by its code; else the address."""

DEFAULT_AUTHENTICATION = (
    "rest_framework.authentication.SessionAuthentication",
    "gcp_side.labseg.access.brute_force.GuardedBasicAuthentication",
)
"""The session of the pages, and user and password for programs."""

Rate = Annotated[
    str, form(r"^[1-9]\d*/(s|sec|m|min|h|hour|d|day)$", "a number and a period, like 30/min")
]


Secret = SecretStr | Callable[[], str]
"""A text, or a function that returns it: one that lives for an hour is asked for again."""


def _ask(secret: Secret) -> tuple[SecretStr, str]:
    """The secret, and what is wrong with the function that should return it: one of the two."""
    if isinstance(secret, SecretStr):
        return secret, ""
    try:
        text = secret()
    except Exception as error:
        # The project's own code: any error, whose words may hold a part of the secret.
        return SecretStr(""), f"is a function that failed ({type(error).__name__})"
    if not isinstance(text, str):
        return SecretStr(""), f"is a function that returned no text ({type(text).__name__})"
    return SecretStr(text), ""


def _revealed(key: str, secret: Secret) -> SecretStr:
    found, problem = _ask(secret)
    if problem:
        raise FixConfigurationError(
            f"SEGRELAY[{key!r}] {problem}.", code="site-settings", remedy=FUNCTION_REMEDY
        )
    return found


def _bucket_address(value: str) -> str:
    try:
        where = parse_address(value)
    except FixConfigurationError as error:
        raise ValueError(f"is wrong. {error.message} {error.remedy}") from None
    if isinstance(where, SiteAddress):
        raise ValueError("is how agents reach a queue that the site keeps: write database: here")
    return value


def _web_address(value: str) -> str:
    # It becomes a link: javascript: would be a program.
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise ValueError("is not an address of the form https://…")
    return value


def _authentication_class(value: str | type) -> str | type:
    found = value
    if isinstance(value, str):
        try:
            found = import_string(value)
        except ImportError as error:
            raise ValueError(f"{value} cannot be imported: {error}") from None
    if not isinstance(found, type) or not issubclass(found, BaseAuthentication):
        raise ValueError(f"{value} is no authentication class of the REST framework")
    return value


def _at_least_one(value: tuple[str | type, ...]) -> tuple[str | type, ...]:
    if not value:
        raise ValueError("is empty: nobody could use the endpoints")
    return value


def _in_order(value: object) -> object:
    # Roles are channels of the network: a set would have them in any order.
    if isinstance(value, Set | Mapping):
        raise ValueError("must be a list")
    return value


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) < len(value):
        raise ValueError("names a role twice")
    return value


def _unless_empty(value: object) -> object:
    # As the texts: an environment variable that is not set is often passed on as "".
    return None if value == "" else value


Roles = Annotated[
    tuple[Role, ...],
    BeforeValidator(_in_order),
    Field(min_length=1),
    AfterValidator(_each_once),
]
"""The roles of a profile, in channel order."""

PemFile = Annotated[Path | None, BeforeValidator(_unless_empty)]
"""A file, or none."""

Seconds = Annotated[float, Field(ge=0, le=7 * 86400)]
"""At most a week: no clock can count back for ever."""

AuthenticationClass = Annotated[str | type, AfterValidator(_authentication_class)]
"""A class, or the path that it is imported by."""


class Conf(BaseModel):
    """The settings; a key of the dict is the upper-case name."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=str.upper, hide_input_in_errors=True
    )

    bucket: Annotated[str, AfterValidator(_bucket_address)]
    """Address of the queue, as :func:`segrelay.bucket.address.parse_address` reads it."""
    orthanc_url: str
    ohif_url: Annotated[str, AfterValidator(_web_address)] = ""
    """Address of OHIF's viewer page, for the link "Open in OHIF"; none where empty."""
    orthanc_user: str = ""
    orthanc_password: Secret = SecretStr("")
    orthanc_ca_file: PemFile = None
    """PEM file to trust instead of the public authorities."""
    orthanc_token: Secret = SecretStr("")
    """Sent as ``Authorization: Bearer …``, in place of user and password."""
    orthanc_client_cert: PemFile = None
    """PEM file with this site's certificate."""
    orthanc_client_key: PemFile = None
    """Its key, without a password; in the same file unless given."""
    orthanc_proxy: str = ""
    """``http://host:port`` of a forward proxy; the environment's are ignored."""
    orthanc_proxy_user: str = ""
    orthanc_proxy_password: Secret = SecretStr("")
    orthanc_allow_plain_http: bool = False
    """Send credentials and images unencrypted to another machine: only inside a VPN."""
    redis_password: Secret = SecretStr("")
    """Of the user that the address of a Redis names."""
    signing_key: SecretStr = SecretStr("")
    """Signs this site's jobs, as ``labseg keygen`` prints it; empty leaves them unsigned."""
    agent_keys: tuple[str, ...] = ()
    """Public keys of the agents; with any, only results that one of them signed are believed."""
    accept_unsigned_records: bool = False
    """While agents that do not sign attempts and heartbeats yet are being updated."""
    profiles: Annotated[dict[ProfileName, Roles], Field(min_length=1)]
    """The profiles on offer: name to roles, in the order in which series are given."""
    default_profile: str = ""
    """The profile of requests that name none; the first of ``profiles`` unless given."""
    default_labels: dict[ProfileName, Labels] = Field(default_factory=dict)
    """By profile: what an agent must have to run the jobs of requests that name no labels."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """Of jobs that name none; 0 is served first."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    publish_grace_seconds: Seconds = 5.0
    """How long a new job may take to reach the queue before ``sync`` sends it again."""
    refresh_seconds: Seconds = 1.0
    """The status endpoint looks into the bucket at most this often, by job and process; for the
    lab's heartbeats it looks less often."""
    cache: str = "default"
    """The entry of ``CACHES`` for segmentations: about a megabyte each."""
    frames_cache_seconds: Annotated[int, Field(ge=0)] = 3600
    submit_rate: Rate = "30/min"
    """Requests for a segmentation, by user."""
    read_rate: Rate = "600/min"
    """All other requests, by user."""
    queue_rate: Rate = "1200/min"
    """Operations of one agent in the queue that this site keeps (``database:``)."""
    queue_waiting_calls: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Calls of agents for new jobs that one process of the site holds at once, each with one of
    its threads; unless given one, and none in a server without threads."""
    authentication_classes: Annotated[
        tuple[AuthenticationClass, ...], AfterValidator(_at_least_one)
    ] = DEFAULT_AUTHENTICATION
    """Ways into the endpoints, asked in this order, as the REST framework's setting names them:
    for tokens ``rest_framework.authentication.TokenAuthentication``, or a class for JWT. The
    pages need ``SessionAuthentication`` among them, which checks for CSRF."""
    guess_rate: Rate = "10/h"
    """Wrong passwords of one account from one address: Basic authentication, and every way in that
    ``access.brute_force.GuessGuard`` is set before."""
    guess_address_rate: Rate = "100/h"
    """For all accounts together, from one address. Behind a proxy, set ``NUM_PROXIES`` of the REST
    framework, or all callers have the proxy's address."""
    push_audience: str = ""
    """Audience of the tokens that Pub/Sub sends; empty turns the push endpoint off."""
    push_service_account: str = ""
    """E-mail address of the service account that signs them."""

    @model_validator(mode="after")
    def _push_is_whole_or_off(self) -> Conf:
        if bool(self.push_audience) != bool(self.push_service_account):
            raise ValueError("PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNT belong together")
        return self

    @model_validator(mode="after")
    def _default_profile_is_on_offer(self) -> Conf:
        if self.default_profile and self.default_profile not in self.profiles:
            meant = did_you_mean(self.default_profile, self.profiles)
            raise ValueError(f"DEFAULT_PROFILE is not one of PROFILES{meant}")
        return self

    @model_validator(mode="after")
    def _default_labels_are_of_profiles_on_offer(self) -> Conf:
        # A slip in a name would send jobs to agents that they are not meant for.
        for name in self.default_labels.keys() - self.profiles.keys():
            meant = did_you_mean(name, self.profiles)
            raise ValueError(f"DEFAULT_LABELS names a profile that is not one of PROFILES{meant}")
        return self

    @property
    def usual_profile(self) -> str:
        """The profile of requests that name none."""
        return self.default_profile or next(iter(self.profiles))

    def sealed(self, bucket: Bucket) -> Bucket:
        """``bucket``, signing and checking as the settings say.

        Raises
        ------
        FixConfigurationError
            ``key-invalid``
        """
        secret = self.signing_key.get_secret_value()
        key = SigningKey.from_text(secret) if secret else None
        own = [key.public] if key is not None else []
        agents = [PublicKey.from_text(text) for text in self.agent_keys]
        if key is None and not agents:
            return bucket
        # The site reads its own jobs again, and its own cancellations among the results.
        results = [*agents, *own] if agents else []
        records = [] if self.accept_unsigned_records else results
        return SealedBucket(bucket, key, Trust.of(jobs=own, results=results, records=records))

    def read_redis_password(self) -> str:
        """The password of the queue's user in a Redis, empty where there is none.

        Raises
        ------
        FixConfigurationError
            ``site-settings``: its function fails, or returns no text.
        """
        return _revealed("REDIS_PASSWORD", self.redis_password).get_secret_value()

    @property
    def orthanc(self) -> OrthancSettings:
        """Where Orthanc is and how to get in; secrets of functions are asked for each time.

        Raises
        ------
        FixConfigurationError
            ``site-settings``: such a function fails, or returns no text.
        """
        given = {
            name.removeprefix("orthanc_"): value
            for name, value in self
            if name.startswith("orthanc_")
        }
        for key in ORTHANC_SECRETS:
            name = key.removeprefix("ORTHANC_").lower()
            given[name] = _revealed(key, given[name])
        return OrthancSettings.model_validate(given)


@dataclass(frozen=True)
class Problem:
    """One wrong or missing value."""

    key: str
    message: str
    remedy: str


def problems() -> list[Problem]:
    """Everything that is wrong with the settings dict; empty when it can be used."""
    raw = getattr(settings, "SEGRELAY", None)
    if not isinstance(raw, dict):
        what = "is missing" if raw is None else f"is no dict but of type {type(raw).__name__}"
        return [Problem("SEGRELAY", f"{what}{_meant()}", "Add SEGRELAY = {…}.")]
    try:
        conf = Conf.model_validate(raw)
    except ValidationError as error:
        # Of a value that may be of several kinds there is one error for each.
        first: dict[str, str] = {}
        for place, what in describe_errors(error, Conf):
            first.setdefault(place, what)
        return [_problem(place, what) for place, what in first.items()]
    found = [*_orthanc_problems(conf), *_key_problems(conf)]
    if conf.cache not in settings.CACHES:
        text = f"is not a key of CACHES{did_you_mean(conf.cache, settings.CACHES)}"
        found.append(Problem("CACHE", text, REMEDIES["CACHE"]))
    return found


def _meant() -> str:
    """A setting of the project that may be this one, under another name."""
    others = (name for name in dir(settings) if name.isupper() and name != "SEGRELAY")
    found = nearest("SEGRELAY", [name for name in others if not hasattr(global_settings, name)])
    return "" if found is None else f"; is {found} meant for it?"


def _orthanc_problems(conf: Conf) -> list[Problem]:
    asked = {key: _ask(getattr(conf, key.lower()))[1] for key in SECRETS}
    failed = [Problem(key, what, FUNCTION_REMEDY) for key, what in asked.items() if what]
    if failed:
        return failed
    try:
        check_usable(conf.orthanc)
    except FixConfigurationError as error:
        key = ORTHANC_KEYS.get(error.code, "ORTHANC_URL")
        return [Problem(key, _own_names(error.message), _own_names(error.remedy))]
    return []


def _own_names(text: str) -> str:
    """With the keys of this dict, where the agent's settings have other names."""
    names = "allow_plain_http|ca_file|client_cert|client_key|proxy_user|proxy_password"
    return re.sub(rf"\b({names})\b", lambda found: f"ORTHANC_{found[1].upper()}", text)


def _key_problems(conf: Conf) -> list[Problem]:
    found = []
    for key, texts, read in (
        ("SIGNING_KEY", [conf.signing_key.get_secret_value()], SigningKey.from_text),
        ("AGENT_KEYS", list(conf.agent_keys), PublicKey.from_text),
    ):
        try:
            for text in filter(None, texts):
                read(text)
        except FixConfigurationError as error:
            found.append(Problem(key, error.message, REMEDIES[key]))
    return found


def _problem(place: str, text: str) -> Problem:
    # What a validator says of several values begins with the key to look at.
    key = place.partition(".")[0] or text.partition(" ")[0]
    known = {field.alias for field in Conf.model_fields.values()}
    if not place and key not in known:
        return Problem("SEGRELAY", text, "Write its keys as texts in capital letters.")
    entry = place.partition(".")[2]
    if key in ("PROFILES", "DEFAULT_LABELS") and entry:
        text = f"{entry} {text}"
    otherwise = "Correct the value." if key in known else "Correct the name, or remove the key."
    return Problem(key, text, REMEDIES.get(key, otherwise))


@lru_cache(maxsize=1)
def get_conf() -> Conf:
    """The settings.

    Raises
    ------
    FixConfigurationError
        ``site-settings``: some value is missing or wrong; the message names each.
    """
    found = problems()
    if found:
        raise FixConfigurationError(
            "; ".join(f"SEGRELAY[{item.key!r}]: {item.message}" for item in found),
            code="site-settings",
            remedy=" ".join(dict.fromkeys(item.remedy for item in found)),
        )
    return Conf.model_validate(settings.SEGRELAY)


def authentication_classes() -> list[type[BaseAuthentication]]:
    """Ways into the endpoints; the usual ones where the settings cannot be used at all."""
    try:
        named = get_conf().authentication_classes
    except FixConfigurationError:
        # A user who comes in is shown what is wrong with the settings.
        named = DEFAULT_AUTHENTICATION
    return [import_string(item) if isinstance(item, str) else item for item in named]


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("SEGRELAY", "CACHES"):
        get_conf.cache_clear()


setting_changed.connect(_forget)
