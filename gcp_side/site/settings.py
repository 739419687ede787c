"""Settings of the project, all from the environment.

==============================  ==========================================================
``SEGRELAY_BUCKET``             the queue: ``database:``, ``gs://bucket/prefix``,
                                ``rediss://user@host/0/prefix`` or ``file:///directory``
``SEGRELAY_REDIS_PASSWORD``     optional (or ``…_FILE``): of the user of a Redis
``SEGRELAY_ORTHANC_URL``        ``https://host[:port][/path]``
``SEGRELAY_ORTHANC_USER``       optional; with ``SEGRELAY_ORTHANC_PASSWORD`` (or ``…_FILE``)
``SEGRELAY_ORTHANC_TOKEN``      optional (or ``…_FILE``): bearer token in place of the user
``SEGRELAY_ORTHANC_CA_FILE``    optional: PEM file to trust for Orthanc's certificate
``SEGRELAY_ORTHANC_CLIENT_…``   optional: ``…_CERT`` and ``…_KEY``, PEM files of this site
``SEGRELAY_ORTHANC_PROXY``      optional: ``http://host:port``; with ``…_USER`` and
                                ``…_PASSWORD`` (or ``…_PASSWORD_FILE``)
``SEGRELAY_ORTHANC_PLAIN_HTTP`` ``1``: allow plain http to Orthanc on another machine (VPN)
``SEGRELAY_SIGNING_KEY``        optional (or ``…_FILE``): signs jobs; ``labseg keygen`` makes one
``SEGRELAY_AGENT_KEYS``         optional: public keys of the agents whose results are believed
``SEGRELAY_PUSH_AUDIENCE``      optional: audience of Pub/Sub's tokens, with
                                ``SEGRELAY_PUSH_SERVICE_ACCOUNT``, the account that signs them
``SEGRELAY_OHIF_URL``           optional: OHIF's viewer page, for "Open in OHIF" on the page
``SEGRELAY_DEFAULT_PROFILE``    the profile of requests that name none
``SEGRELAY_DATABASE``           path of a SQLite file, or ``postgresql://…`` (or ``…_FILE``)
``SEGRELAY_SECRET_KEY``         Django's secret key (or ``…_FILE``), at least 50 characters
``SEGRELAY_ALLOWED_HOSTS``      host names of this site, separated by commas
``SEGRELAY_TRUSTED_ORIGINS``    optional: ``https://…`` origins for CSRF, behind a proxy
``SEGRELAY_BEHIND_PROXY``       ``1``: believe the one proxy's ``X-Forwarded-Proto`` and ``-For``
``SEGRELAY_HTTPS``              ``0``: serve plain http (only on loopback or in a VPN)
``SEGRELAY_STATIC_ROOT``        optional: where ``collectstatic`` writes
``SEGRELAY_SYNC``               ``0``: gunicorn runs no ``labseg sync --watch`` beside the site
``SEGRELAY_DEBUG``              ``1``: a developer's machine; never in production
==============================  ==========================================================
"""

from __future__ import annotations

import secrets
from importlib.util import find_spec

from gcp_side.site.database import database
from gcp_side.site.environment import flag, renewed_secret, required_secret, secret, text, words

HSTS_SECONDS = 365 * 24 * 3600

DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
"""Bytes of a request's body: sixteen ids and a few names are the longest."""

DEBUG = flag("SEGRELAY_DEBUG", default=False)
HTTPS = flag("SEGRELAY_HTTPS", default=not DEBUG)
BEHIND_PROXY = flag("SEGRELAY_BEHIND_PROXY", default=False)

SECRET_KEY = required_secret(
    "SEGRELAY_SECRET_KEY",
    'Make one: python -c "import secrets; print(secrets.token_urlsafe(50))"',
    default=secrets.token_urlsafe(50) if DEBUG else "",
)
ALLOWED_HOSTS = words("SEGRELAY_ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = words("SEGRELAY_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "gcp_side.labseg",
]
if find_spec("drf_spectacular"):
    # Optional: the endpoints' OpenAPI description.
    INSTALLED_APPS.append("drf_spectacular")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "gcp_side.site.csp.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "gcp_side.labseg.access.brute_force.GuessGuardMiddleware",
]
# The guard lets nobody in: it stops who guesses before the backend behind it is asked.
AUTHENTICATION_BACKENDS = [
    "gcp_side.labseg.access.brute_force.GuessGuard",
    "django.contrib.auth.backends.ModelBackend",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "gcp_side.site.urls"
WSGI_APPLICATION = "gcp_side.site.wsgi.application"
LOGIN_URL = "labseg-pages:login"
CSRF_FAILURE_VIEW = "gcp_side.labseg.access.accounts.csrf_failure"

DATABASES = {
    "default": database(
        required_secret(
            "SEGRELAY_DATABASE",
            "Set it to the path of the SQLite file.",
            default="segrelay.sqlite3" if DEBUG else "",
        )
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # About a megabyte for each segmentation: few entries, apart from the small ones.
    "segmentations": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "segmentations",
        "OPTIONS": {"MAX_ENTRIES": 64},
    },
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ko", "Korean")]
STATIC_URL = "static/"
STATIC_ROOT = text("SEGRELAY_STATIC_ROOT") or None

SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    # Whose address a request has: the last one that the proxy adds, if there is a proxy.
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "gcp_side": {"handlers": ["console"], "level": "INFO"},
        # Without this, a site with DEBUG off says nothing of an error of its own.
        "django.request": {"handlers": ["console"], "level": "ERROR", "propagate": False},
    },
}

_DCE_PHASES = ["dce-0", "dce-1", "dce-2", "dce-3"]
_BRAIN_SEQUENCES = ["t1c", "t1", "t2", "flair"]

SEGRELAY = {
    "BUCKET": text("SEGRELAY_BUCKET"),
    "ORTHANC_URL": text("SEGRELAY_ORTHANC_URL"),
    "OHIF_URL": text("SEGRELAY_OHIF_URL"),
    "ORTHANC_USER": text("SEGRELAY_ORTHANC_USER"),
    "ORTHANC_PASSWORD": renewed_secret("SEGRELAY_ORTHANC_PASSWORD"),
    "ORTHANC_TOKEN": renewed_secret("SEGRELAY_ORTHANC_TOKEN"),
    "ORTHANC_CA_FILE": text("SEGRELAY_ORTHANC_CA_FILE") or None,
    "ORTHANC_CLIENT_CERT": text("SEGRELAY_ORTHANC_CLIENT_CERT") or None,
    "ORTHANC_CLIENT_KEY": text("SEGRELAY_ORTHANC_CLIENT_KEY") or None,
    "ORTHANC_PROXY": text("SEGRELAY_ORTHANC_PROXY"),
    "ORTHANC_PROXY_USER": text("SEGRELAY_ORTHANC_PROXY_USER"),
    "ORTHANC_PROXY_PASSWORD": renewed_secret("SEGRELAY_ORTHANC_PROXY_PASSWORD"),
    "ORTHANC_ALLOW_PLAIN_HTTP": flag("SEGRELAY_ORTHANC_PLAIN_HTTP", default=False),
    "REDIS_PASSWORD": renewed_secret("SEGRELAY_REDIS_PASSWORD"),
    "SIGNING_KEY": secret("SEGRELAY_SIGNING_KEY"),
    "AGENT_KEYS": words("SEGRELAY_AGENT_KEYS"),
    "PROFILES": {
        "demo": _DCE_PHASES,
        "breast-dce": _DCE_PHASES,
        "breast-dce-swinunetr": _DCE_PHASES,
        "glioma": _BRAIN_SEQUENCES,
        "brats-segresnet": _BRAIN_SEQUENCES,
    },
    "DEFAULT_PROFILE": text("SEGRELAY_DEFAULT_PROFILE", "demo"),
    "PUSH_AUDIENCE": text("SEGRELAY_PUSH_AUDIENCE"),
    "PUSH_SERVICE_ACCOUNT": text("SEGRELAY_PUSH_SERVICE_ACCOUNT"),
    "CACHE": "segmentations",
}
