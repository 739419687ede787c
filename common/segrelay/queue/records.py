"""Reading and writing the small documents beside a job: results, attempts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.sealed import SealedBucket
from segrelay.errors import (
    ManifestRejectedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreUnavailableError,
)
from segrelay.manifest import (
    MANIFEST_BYTES_LIMIT,
    MANIFEST_LIMITS,
    RESULT_BYTES_LIMIT,
    AttemptRecord,
    Failure,
    ResultManifest,
    ResultStatus,
    parse_result,
)
from segrelay.names import JobName
from segrelay.parsing.documents import read_document
from segrelay.parsing.json_reader import UnreadableJsonError

ATTEMPTS_WITHOUT_LISTING = 16
"""Up to so many records are asked for one by one: that is billed less than a listing."""

MOST_ATTEMPTS = 200
"""Records of one job that are read."""

_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


def confirm_unreadable(
    bucket: Bucket, name: str, *, limit: int, parse: Callable[[bytes], object]
) -> None:
    """Whether a document that could not be read is the object itself, and so for good.

    Called before a job is moved for it. What a server before the store has answered in the
    object's place is no document: it has another size than the store reports of the object, or has
    gone at the second reading.

    Raises
    ------
    StoreUnavailableError
        It is not known to be the object, or there is none: nothing may be moved for it.
    """
    store = bucket.inner if isinstance(bucket, SealedBucket) else bucket
    # A store that checks what it brings has done all this.
    if getattr(store, "content_is_proven", False):
        return
    try:
        size = min(store.stat(name).size, limit + 1)
        first = store.read(name, limit=limit)
        parse(bucket.read(name, limit=limit))
        is_the_object = False
    except ManifestRejectedError:
        is_the_object = len(first) == size and store.read(name, limit=limit) == first
    except ObjectNotFoundError:
        is_the_object = False
    if not is_the_object:
        raise StoreUnavailableError(
            f"What came in place of {names.as_shown(name)} is not the object in the store."
        )


def read_result(bucket: Bucket, job_id: str) -> ResultManifest | None:
    """The job's result, or None while it has none.

    Raises
    ------
    ManifestRejectedError
        A result exists and cannot be read; the job counts as ended all the same.
    StoreUnavailableError
        What came is not known to be the job's result.
    """
    name = names.result_object(job_id)
    try:
        result = parse_result(bucket.read(name, limit=RESULT_BYTES_LIMIT))
    except ObjectNotFoundError:
        return None
    except ManifestRejectedError:
        confirm_unreadable(bucket, name, limit=RESULT_BYTES_LIMIT, parse=parse_result)
        raise
    if result.job_id != job_id:
        raise ManifestRejectedError(
            f"The result of job {job_id} names another job.", code="result-foreign"
        )
    return result


def read_result_status(bucket: Bucket, job_id: str) -> ResultStatus | None:
    """How the job has ended, None while it has not; an unreadable result is a failure."""
    try:
        result = read_result(bucket, job_id)
    except ManifestRejectedError:
        # It is the job's one result all the same: the job never runs again.
        return ResultStatus.FAILED
    return None if result is None else result.status


def publish_result(bucket: Bucket, result: ResultManifest) -> ResultManifest:
    """Create the job's one result; returns its valid result, mine or an earlier one."""
    try:
        bucket.create(names.result_object(result.job_id), result.to_json())
    except ObjectExistsError:
        standing = read_result(bucket, result.job_id)
        if standing is not None:
            return standing
        raise
    return result


def write_attempt(bucket: Bucket, record: AttemptRecord) -> AttemptRecord:
    """Record how an attempt ended; the first record of an attempt is kept and returned."""
    name = names.attempt_object(record.job_id, record.attempt)
    try:
        bucket.create(name, record.to_json())
    except ObjectExistsError:
        standing = read_attempt(bucket, record.job_id, record.attempt)
        return record if standing is None else standing
    return record


def read_attempt(bucket: Bucket, job_id: str, attempt: int) -> AttemptRecord | None:
    """The record of one attempt, or None: not ended, unreadable, of another one, or not signed
    where signatures are demanded."""
    try:
        data = bucket.read(names.attempt_object(job_id, attempt), limit=MANIFEST_BYTES_LIMIT)
        record = read_document(AttemptRecord, data, MANIFEST_LIMITS)
    except (ObjectNotFoundError, UnreadableJsonError, ManifestRejectedError):
        return None
    return record if (record.job_id, record.attempt) == (job_id, attempt) else None


def read_attempts(bucket: Bucket, name: JobName) -> list[AttemptRecord]:
    """The records of attempts 1 … ``name.fence``, those that exist; of very many the first ones
    and the last ones, :data:`MOST_ATTEMPTS` together."""
    found = (read_attempt(bucket, name.job_id, n) for n in _attempts_to_read(bucket, name))
    return [record for record in found if record is not None]


def _attempts_to_read(bucket: Bucket, name: JobName) -> Collection[int]:
    # A number is only a part of a name: a user who can move objects can make it a million.
    if name.fence <= ATTEMPTS_WITHOUT_LISTING:
        return range(1, name.fence + 1)
    numbers = [n for n in recorded_attempts(bucket, name.job_id) if n <= name.fence]
    half = MOST_ATTEMPTS // 2
    return numbers if len(numbers) <= MOST_ATTEMPTS else numbers[:half] + numbers[-half:]


def recorded_attempts(bucket: Bucket, job_id: str) -> list[int]:
    """The numbers of which an object lies among a job's attempt records, the smallest first."""
    prefix = f"{names.ATTEMPTS}{job_id}/"
    stems = (info.name.removeprefix(prefix).removesuffix(".json") for info in bucket.list(prefix))
    return sorted(int(stem) for stem in stems if _NUMBER.fullmatch(stem))


def failure_from_attempts(records: list[AttemptRecord]) -> Failure:
    """One failure with the reason of every attempt that counted."""
    counted = [record for record in records if record.counts]
    lines = [f"attempt {r.attempt} on {r.agent}: {r.reason}" for r in counted]
    return Failure(
        code="attempts-used-up",
        reason=f"All {len(counted)} attempts failed. {' '.join(lines)}"[:4000],
        remedy="Look at the reasons; submit the job again once the cause is mended.",
    )
