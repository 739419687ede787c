"""The cloud bucket's settings, where the account may read them.

Every check takes the bucket's resource as the JSON API gives it
(https://cloud.google.com/storage/docs/json_api/v1/buckets) and the queue's root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any

import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud import storage  # type: ignore[import-untyped]

from lab_side.doctor.finding import Finding
from segrelay import names
from segrelay.bucket.gcs import REQUEST_TIMEOUT

Resource = Mapping[str, Any]

LIVE = (names.PENDING, names.CLAIMED, names.AGENTS)
"""Nothing here may be deleted by age: a heartbeat keeps the age of its agent's start."""

GROWING = (names.DONE, names.FAILED, names.REJECTED, names.ATTEMPTS, names.RESULTS, names.PROGRESS)
"""What stays for ever unless the lifecycle removes it."""

_ONLY_OLD_VERSIONS = {"daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions"}
"""Conditions that no live object meets."""


def check_retention(resource: Resource, _root: str) -> Finding:
    """A retention policy or a hold refuses every move."""
    keeps = [
        text
        for text, found in (
            ("a retention policy", resource.get("retentionPolicy")),
            ("a hold on new objects", resource.get("defaultEventBasedHold")),
        )
        if found
    ]
    if not keeps:
        return Finding.ok("retention policy", "none, and no hold")
    return Finding.failure(
        "retention policy",
        f"the bucket has {' and '.join(keeps)}: no job can be claimed or archived",
        "Remove it: gcloud storage buckets update --clear-retention-period "
        "--no-default-event-based-hold.",
    )


def check_versioning(resource: Resource, _root: str) -> Finding:
    """With versions on, every heartbeat and every move leaves a copy that is paid for."""
    if not _at(resource, "versioning", "enabled"):
        return Finding.ok("versioning", "off")
    return Finding.warning(
        "versioning",
        "on: every claim and archive leaves an old version behind",
        "gcloud storage buckets update --no-versioning",
    )


def check_soft_delete(resource: Resource, _root: str) -> Finding:
    """Soft delete keeps, and bills, what was deleted."""
    seconds = int(_at(resource, "softDeletePolicy", "retentionDurationSeconds") or 0)
    if seconds == 0:
        return Finding.ok("soft delete", "off")
    return Finding.warning(
        "soft delete",
        f"deleted objects are kept for {seconds / 86400:.0f} days",
        "gcloud storage buckets update --clear-soft-delete",
    )


def check_uniform_access(resource: Resource, _root: str) -> Finding:
    """Without uniform access, single objects can be shared, and conditions do not bind."""
    if _at(resource, "iamConfiguration", "uniformBucketLevelAccess", "enabled"):
        return Finding.ok("uniform bucket-level access", "on")
    return Finding.warning(
        "uniform bucket-level access",
        "off: access lists of single objects count, conditional rights do not",
        "gcloud storage buckets update --uniform-bucket-level-access",
    )


def check_public_access(resource: Resource, _root: str) -> Finding:
    """Public access must be impossible, whatever a later grant says."""
    found = _at(resource, "iamConfiguration", "publicAccessPrevention")
    if found == "enforced":
        return Finding.ok("public access prevention", "enforced")
    return Finding.warning(
        "public access prevention",
        f"{found or 'inherited'}: a later grant could make the queue public",
        "gcloud storage buckets update --public-access-prevention",
    )


def check_lifecycle(resource: Resource, root: str) -> Finding:
    """History must be removed some day, and the live queue never."""
    check = "lifecycle"
    deletions = [list(prefixes) for prefixes in _deleted_prefixes(resource)]
    hit = [folder for folder in LIVE if _any_meets(deletions, root + folder)]
    if hit:
        return Finding.failure(
            check,
            f"a rule deletes objects of the live queue: {', '.join(hit)}",
            "Give the rule matchesPrefix conditions, as in infra/gcs/lifecycle.json.",
        )
    kept = [folder for folder in GROWING if not _any_meets(deletions, root + folder)]
    if kept:
        return Finding.warning(
            check,
            f"nothing ever deletes {', '.join(kept)}",
            "gcloud storage buckets update --lifecycle-file, see infra/gcs/lifecycle.json",
        )
    return Finding.ok(check, "history is deleted by age, the live queue is not")


CHECKS: Sequence[tuple[str, Callable[[Resource, str], Finding]]] = (
    ("retention policy", check_retention),
    ("versioning", check_versioning),
    ("soft delete", check_soft_delete),
    ("uniform bucket-level access", check_uniform_access),
    ("public access prevention", check_public_access),
    ("lifecycle", check_lifecycle),
)


def examine_settings(client: storage.Client, bucket: str, prefix: str) -> Iterator[Finding]:
    """Every check of the bucket's settings, or NOT KNOWN where they cannot be read."""
    root = f"{prefix}/" if prefix else ""
    try:
        resource = client.get_bucket(bucket, timeout=REQUEST_TIMEOUT)._properties
    except api.GoogleAPICallError as error:
        yield from _not_known(bucket, f"the store answered {int(error.code or 0)}")
    except (OSError, HTTPException, urllib3.exceptions.HTTPError, auth.GoogleAuthError):
        yield from _not_known(bucket, "the store did not answer")
    else:
        for _, check in CHECKS:
            yield check(resource, root)


def _not_known(bucket: str, why: str) -> Iterator[Finding]:
    for name, _ in CHECKS:
        yield Finding.not_known(
            name,
            f"this account cannot read the bucket's settings ({why})",
            f"Ask the administrator of the bucket: gcloud storage buckets describe gs://{bucket}",
        )


def _at(resource: Resource, *keys: str) -> Any:
    found: Any = resource
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _deleted_prefixes(resource: Resource) -> Iterator[Sequence[str]]:
    """List the prefixes of every rule that deletes live objects."""
    for rule in _at(resource, "lifecycle", "rule") or ():
        condition = rule.get("condition", {})
        old_versions = condition.get("isLive") is False or _ONLY_OLD_VERSIONS & set(condition)
        if rule.get("action", {}).get("type") == "Delete" and not old_versions:
            yield condition.get("matchesPrefix") or [""]


def _any_meets(deletions: Sequence[Sequence[str]], folder: str) -> bool:
    """Check whether a rule can reach an object in ``folder``."""
    return any(
        prefix.startswith(folder) or folder.startswith(prefix)
        for prefixes in deletions
        for prefix in prefixes
    )
