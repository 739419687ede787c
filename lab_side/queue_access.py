"""The queue as this computer sees it: its address, signed and checked where keys are set."""

from __future__ import annotations

import os
from functools import partial

from lab_side.settings.config import LocalConfig, QueueConfig
from lab_side.settings.secrets import (
    queue_token,
    redis_password,
    secret_environment,
    signing_key,
)
from segrelay.bucket import Bucket, open_bucket
from segrelay.bucket.sealed import SealedBucket
from segrelay.retry import STORE_REQUEST
from segrelay.signing import PublicKey, Trust
from segrelay.transient import PATIENCE


def open_store(
    config: LocalConfig | QueueConfig, *, deadline: float = STORE_REQUEST.deadline
) -> Bucket:
    """The queue without signatures, with this agent's token or password where it needs one.

    ``deadline``: seconds for all tries of one operation at a site or a Redis.

    Raises
    ------
    FixConfigurationError
        ``bucket-address``, or a secret's file that others may read.
    """
    patience = config.patience if isinstance(config, LocalConfig) else PATIENCE
    secrets = secret_environment(os.environ, config.credentials_dir)
    token = partial(queue_token, config.agent_id, secrets)
    password = partial(redis_password, config.agent_id, secrets)
    return open_bucket(
        config.bucket,
        patience=patience,
        token=token,
        password=password,
        ca_file=config.queue_ca_file,
        deadline=deadline,
    )


def open_queue(config: LocalConfig | QueueConfig) -> Bucket:
    """The queue, signing with this agent's key and believing whom ``config.trust`` names.

    Raises
    ------
    FixConfigurationError
        ``bucket-address``, ``key-invalid``, or a secret's file that others may read.
    """
    bucket, trust = open_store(config), config.trust
    secrets = secret_environment(os.environ, config.credentials_dir)
    key = signing_key(config.agent_id, secrets)
    sites = [PublicKey.from_text(text) for text in trust.site_keys]
    agents = [PublicKey.from_text(text) for text in trust.agent_keys]
    agents += [key.public] if key is not None else []
    # A result is an agent's, or a cancellation by the site.
    results = [*agents, *sites] if agents else []
    if key is None and not sites and not agents:
        return bucket
    records = [] if trust.accept_unsigned_records else results
    return SealedBucket(bucket, key, Trust.of(jobs=sites, results=results, records=records))
