"""The queue as this computer sees it: its address, signed and checked where keys are set."""

from __future__ import annotations

import os
from collections.abc import Mapping

from common.bucket import Bucket
from common.sealed_bucket import SealedBucket
from common.signing import PublicKey, Trust
from lab_side.config import TrustConfig
from lab_side.secrets import signing_key

__all__ = ["sealed"]


def sealed(
    bucket: Bucket,
    trust: TrustConfig,
    agent_id: str,
    environment: Mapping[str, str] | None = None,
) -> Bucket:
    """``bucket``, signing with this agent's key and believing whom ``trust`` names.

    Raises
    ------
    FixConfigurationError
        ``key-invalid``
    """
    key = signing_key(agent_id, os.environ if environment is None else environment)
    sites = [PublicKey.from_text(text) for text in trust.site_keys]
    agents = [PublicKey.from_text(text) for text in trust.agent_keys]
    agents += [key.public] if key is not None else []
    # A result is an agent's, or a cancellation by the site.
    results = [*agents, *sites] if agents else []
    if key is None and not sites and not agents:
        return bucket
    return SealedBucket(bucket, key, Trust.of(jobs=sites, results=results))
