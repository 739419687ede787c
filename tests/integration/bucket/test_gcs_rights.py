"""The rights in ``infra/gcs`` suffice for everything that site and agents do, and for no more.

Both walk their whole way over the strict fake, behind a guard that answers 403 to every
request that the filled-in policy files do not grant. What the guard thinks of conditions is
the project's reading of the documentation: on the real service they are untried.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from google.api_core import exceptions as api

from lab_side.conformance import Outcome, open_probe
from segrelay import names
from segrelay.bucket import Bucket
from segrelay.bucket.gcs import GcsBucket
from segrelay.errors import AttemptFailedError, FixConfigurationError, ManifestRejectedError
from segrelay.manifest import JobManifest, ResultStatus
from segrelay.names import JobName
from segrelay.queue import (
    AgentQueue,
    Claim,
    Heartbeat,
    Identity,
    JobState,
    Lease,
    Reaper,
    SiteQueue,
    scan,
    verify_store,
)
from segrelay.queue.lease import store_now
from segrelay.queue.operator import OperatorQueue
from tests.support.buckets.gcs import BUCKET
from tests.support.buckets.gcs_rights import Grant, GuardedGcs, Need, read_grants, read_permissions
from tests.support.jobs import NOW, make_identity, make_manifest, make_result
from tests.support.paths import ROOT

PREFIX = "hospital/queue"
OBJECTS = f"projects/_/buckets/{BUCKET}/objects/"
ROLES = ("site", "agent")

MOST_OPERATORS = 12
"""Logical operators in one condition. https://cloud.google.com/iam/quotas"""

REJECTED = ManifestRejectedError("unreadable")
BROKEN = AttemptFailedError("broken")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy files, filled in by the set-up script."""
    folder = tmp_path_factory.mktemp("gcs")
    options = ["--project", "my-project", "--bucket", BUCKET, "--prefix", PREFIX]
    for listing in ("prefix", "bucket"):
        subprocess.run(
            [ROOT / "infra/gcs/setup", *options, "--listing", listing, "--files", folder],
            check=True,
            capture_output=True,
        )
    return folder


def read_policy(files: Path, listing: str) -> dict[str, list[Grant]]:
    return {role: read_grants(files, role, listing) for role in ROLES}


@pytest.fixture
def policy(files: Path) -> dict[str, list[Grant]]:
    return read_policy(files, "list")


@pytest.fixture
def cloud(policy: Mapping[str, list[Grant]]) -> Iterator[GuardedGcs]:
    with GuardedGcs(policy) as cloud:
        yield cloud


class Lab:
    """One agent's process."""

    def __init__(self, bucket: Bucket, agent: str = "lab-1") -> None:
        self.bucket = bucket
        self.identity = make_identity()
        self.agent = agent
        self.lease = Lease(bucket, agent, self.identity, is_dead=self._is_dead)
        self.queue = AgentQueue(bucket, agent, now=self.lease.now)
        self.reaper = Reaper(bucket, agent, now=self.lease.now, is_dead=self._is_dead)

    def start(self) -> None:
        """As the agent starts: self-test, take-over, healing."""
        verify_store(self.bucket)
        previous = self.lease.take(self.heartbeat("starting"))
        self.reaper.recover_own_claims(scan(self.bucket), previous, keep=())

    def claim(self, job_id: str) -> Claim:
        """Claim one job."""
        job = next(item for item in scan(self.bucket).pending if item.name.job_id == job_id)
        claim = self.queue.claim(job)
        assert claim is not None
        return claim

    def heartbeat(self, state: str = "listening") -> Heartbeat:
        return Heartbeat(identity=self.identity, state=state, version="0")

    def finish(self, claim: Claim) -> None:
        """Report progress twice, publish a result and tidy up."""
        assert self.queue.open(claim) is not None
        for percent in (b"{}", b"[]"):
            self.bucket.replace(names.progress_object(claim.job_id), percent)
            self.lease.renew(self.heartbeat())
        self.queue.finish(claim, make_result(claim.job_id, self.agent, claim.attempt))
        self.queue.forget_progress(claim.job_id)

    def _is_dead(self, identity: Identity) -> bool:
        return identity.instance != self.identity.instance


class World:
    """A site and an agent on one queue."""

    def __init__(self, cloud: GuardedGcs) -> None:
        self.site_bucket = cloud.bucket("site", PREFIX)
        self.site = SiteQueue(self.site_bucket)
        self.agent_bucket = cloud.bucket("agent", PREFIX)
        self.lab = Lab(self.agent_bucket)
        self.lab.start()

    def submit(self, **changes: object) -> JobManifest:
        manifest = make_manifest(None, **changes)
        self.site.submit(manifest)
        return manifest

    def reap_as_site(self, *, dead: bool) -> None:
        now = store_now(self.site_bucket, names.SITE)
        reaper = Reaper(
            self.site_bucket,
            names.SITE,
            now=lambda: now + (timedelta(hours=1) if dead else timedelta(0)),
            is_dead=lambda _: False,
        )
        reaper.reap(scan(self.site_bucket))

    def state(self, manifest: JobManifest) -> JobState:
        """What the site sees."""
        return self.site.find(name_of(manifest)).state

    def double(self, manifest: JobManifest) -> None:
        """Submit the manifest as if its first submit had never been seen."""
        self.site_bucket.create(name_of(manifest).pending, manifest.to_json())


def name_of(manifest: JobManifest) -> JobName:
    return JobName(
        priority=manifest.priority, job_id=manifest.job_id, profile=manifest.profile, fence=0
    )


def a_job_is_done(world: World) -> None:
    job = world.submit()
    world.site.submit(job)
    assert world.state(job) is JobState.PENDING
    claim = world.lab.claim(job.job_id)
    assert world.state(job) is JobState.CLAIMED
    world.lab.finish(claim)
    assert world.state(job) is JobState.SUCCEEDED
    world.site.submit(job)


def a_job_is_cancelled(world: World) -> None:
    waiting, running = world.submit(), world.submit()
    claim = world.lab.claim(running.job_id)
    for job in (waiting, running):
        world.site.cancel(job.job_id, now=NOW)
        assert world.site.cancel(job.job_id, now=NOW).status is ResultStatus.CANCELLED
    assert world.lab.queue.open(claim) is None


def a_job_is_handed_back_and_fails(world: World) -> None:
    job = world.submit(max_attempts=2)
    claim = world.lab.claim(job.job_id)
    world.lab.queue.hand_back(claim, BROKEN, started=False, wait=timedelta(0))
    for _ in range(2):
        pending = next(p for p in scan(world.agent_bucket).pending if p.name.job_id == job.job_id)
        assert world.lab.queue.may_claim(pending) in (True, False)
        claim = world.lab.claim(job.job_id)
        world.lab.queue.fail_attempt(claim, BROKEN, started=True, max_attempts=2)
    assert world.state(job) is JobState.FAILED


def a_job_is_rejected_and_put_back(world: World) -> None:
    job = world.submit()
    for _ in range(2):
        world.lab.queue.reject(world.lab.claim(job.job_id), REJECTED)
        assert world.state(job) is JobState.REJECTED
        operator = OperatorQueue(world.agent_bucket, "lab-1", is_dead=lambda _: False)
        assert operator.requeue(job.job_id).changed
    claim = world.lab.claim(job.job_id)
    world.lab.queue.reject(claim, REJECTED)
    world.double(job)
    world.lab.queue.reject(world.lab.claim(job.job_id), REJECTED)


def a_misnamed_manifest_is_set_aside(world: World) -> None:
    for _ in range(2):
        world.site_bucket.create(f"{names.PENDING}what.json", b"{}")
        world.lab.queue.reject_misnamed(scan(world.agent_bucket).misnamed[0])


def a_wait_is_ended_by_an_operator(world: World) -> None:
    job = world.submit()
    claim = world.lab.claim(job.job_id)
    world.lab.queue.hand_back(claim, BROKEN, started=False, wait=timedelta(hours=1))
    operator = OperatorQueue(world.agent_bucket, "lab-1", is_dead=lambda _: False)
    assert operator.requeue(job.job_id).changed
    assert operator.cancel(job.job_id).state is JobState.CANCELLED


def a_dead_agents_claims_are_taken_back_by_the_site(world: World) -> None:
    lost, ended, last = world.submit(), world.submit(), world.submit(max_attempts=1)
    for job in (lost, ended, last):
        world.lab.claim(job.job_id)
    world.site.cancel(ended.job_id, now=NOW)
    world.agent_bucket.delete(
        names.agent_object("lab-1"),
        generation=world.agent_bucket.read_heartbeat(names.agent_object("lab-1")).generation,
    )
    for _ in range(2):
        world.reap_as_site(dead=True)
    assert world.state(lost) is JobState.PENDING
    assert world.state(last) is JobState.FAILED
    assert scan(world.site_bucket).claimed == ()


def a_dead_agents_claims_are_taken_back_by_an_agent(world: World) -> None:
    job = world.submit()
    world.lab.claim(job.job_id)
    heir = Lab(world.agent_bucket, "lab-2")
    heir.start()
    heir.reaper.reap(scan(world.agent_bucket))
    assert world.state(job) is JobState.PENDING


def an_agent_comes_back(world: World) -> None:
    job = world.submit()
    world.lab.claim(job.job_id)
    world.lab = Lab(world.agent_bucket)
    world.lab.start()
    assert world.state(job) is JobState.PENDING


def a_doubled_submit_is_made_one(world: World) -> None:
    for way in ("agent", "site", "cancel"):
        job = world.submit()
        first = world.lab.claim(job.job_id)
        world.double(job)
        world.lab.finish(first)
        if way == "cancel":
            world.site.cancel(job.job_id, now=NOW)
            assert world.state(job) is JobState.SUCCEEDED
            continue
        second = world.lab.claim(job.job_id)
        if way == "agent":
            assert world.lab.queue.open(second) is None
        else:
            world.reap_as_site(dead=True)
    assert [p.name.job_id for p in scan(world.site_bucket).pending] == []


WAYS: tuple[Callable[[World], None], ...] = (
    a_job_is_done,
    a_job_is_cancelled,
    a_job_is_handed_back_and_fails,
    a_job_is_rejected_and_put_back,
    a_misnamed_manifest_is_set_aside,
    a_wait_is_ended_by_an_operator,
    a_dead_agents_claims_are_taken_back_by_the_site,
    a_dead_agents_claims_are_taken_back_by_an_agent,
    an_agent_comes_back,
    a_doubled_submit_is_made_one,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_request_of_both_sides_is_permitted(
    cloud: GuardedGcs, way: Callable[[World], None]
) -> None:
    way(World(cloud))
    assert cloud.guard.denied == []


def test_no_right_is_granted_that_nobody_uses(
    cloud: GuardedGcs, policy: Mapping[str, list[Grant]]
) -> None:
    for way in WAYS:
        world = World(cloud)
        way(world)
        for job in scan(world.agent_bucket).pending:
            world.site.cancel(job.name.job_id, now=NOW)
    granted = {
        (role, permission, clause.text)
        for role, grants in policy.items()
        for grant in grants
        for permission in grant.permissions
        for clause in grant.clauses
    }
    used = {(role, *item) for role, items in cloud.guard.used.items() for item in items}
    assert sorted(granted - used) == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_listing_the_whole_bucket_works_where_missing_objects_are_hidden(
    files: Path, way: Callable[[World], None]
) -> None:
    """The script's ``--listing bucket``, on a store that tells 404 only to who may list."""
    with GuardedGcs(read_policy(files, "list-bucket"), hides_missing=True) as cloud:
        way(World(cloud))
        assert cloud.guard.denied == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_it_works_as_well_where_the_right_to_overwrite_is_looked_at_first(
    policy: Mapping[str, list[Grant]], way: Callable[[World], None]
) -> None:
    """Then an existing result answers 403: nobody may overwrite it."""
    with GuardedGcs(policy, rights_first=True) as cloud:
        way(World(cloud))
        assert {need.permission for _, need in cloud.guard.denied} <= {"storage.objects.delete"}


def test_where_missing_objects_are_hidden_the_agent_says_so_at_start(
    policy: Mapping[str, list[Grant]],
) -> None:
    with (
        GuardedGcs(policy, hides_missing=True) as cloud,
        pytest.raises(FixConfigurationError) as caught,
    ):
        verify_store(cloud.bucket("agent", PREFIX))
    assert caught.value.code == "bucket-forbidden"


def test_the_agents_account_can_prove_the_store(cloud: GuardedGcs) -> None:
    with (
        cloud.client("agent") as client,
        open_probe(client, BUCKET, PREFIX, pause=0) as probe,
    ):
        results = list(probe.run())
    unknown = {r.what for r in results if r.outcome is not Outcome.OK}
    assert unknown == {"get in a bucket that is not there", "list a bucket that is not there"}
    assert probe.left_behind == 0


@pytest.mark.parametrize(
    ("role", "verb", "name"),
    [
        ("agent", "delete", "v1/results/x.json"),
        ("agent", "update", "v1/results/x.json"),
        ("agent", "move", "v1/results/x.json"),
        ("agent", "delete", "v1/attempts/x/1.json"),
        ("agent", "delete", "v1/done/x.json"),
        ("agent", "move", "v1/done/x.json"),
        ("agent", "delete", "v1/failed/x.json"),
        ("agent", "update", "v1/jobs/pending/x.json"),
        ("agent", "create", "v2/jobs/pending/x.json"),
        ("agent", "get", "elsewhere.json"),
        ("site", "create", "v1/jobs/claimed/lab-1/x.json"),
        ("site", "create", "v1/jobs/agents/lab-1.json"),
        ("site", "create", "v1/progress/x.json"),
        ("site", "create", "v1/rejected/x.json"),
        ("site", "update", "v1/jobs/agents/lab-1.json"),
        ("site", "delete", "v1/results/x.json"),
        ("site", "delete", "v1/jobs/agents/lab-1.json"),
        ("site", "move", "v1/rejected/x.json"),
    ],
)
def test_what_a_role_need_not_do_it_may_not_do(
    cloud: GuardedGcs, role: str, verb: str, name: str
) -> None:
    need = Need(f"storage.objects.{verb}", f"{OBJECTS}{PREFIX}/{name}")
    assert not cloud.guard.allows(role, need)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("prefix", ["", "hospital/", "hospital/queue/", "another/v1/"])
def test_names_outside_the_root_cannot_be_listed(cloud: GuardedGcs, role: str, prefix: str) -> None:
    with cloud.client(role) as client:
        assert list(client.list_blobs(BUCKET, prefix=f"{PREFIX}/v1/")) == []
        with pytest.raises(api.Forbidden):
            list(client.list_blobs(BUCKET, prefix=prefix))


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_no_role_administers_the_bucket(cloud: GuardedGcs, role: str) -> None:
    with cloud.client(role) as client, pytest.raises(api.Forbidden):
        client.get_bucket(BUCKET)


def test_no_role_holds_any_other_permission(files: Path) -> None:
    permissions = [p for role in files.glob("*.yaml") for p in read_permissions(role)]
    wanted = ("create", "delete", "get", "list", "move", "update")
    assert sorted(permissions) == [f"storage.objects.{verb}" for verb in wanted]


def test_without_its_rights_a_side_is_told_what_is_missing(cloud: GuardedGcs) -> None:
    bucket: GcsBucket = cloud.bucket("nobody", PREFIX)
    with pytest.raises(FixConfigurationError) as caught:
        scan(bucket)
    assert "storage.objects.list" in caught.value.remedy


def test_conditions_keep_to_googles_limits(policy: Mapping[str, list[Grant]]) -> None:
    for grants in policy.values():
        for grant in grants:
            assert len(grant.clauses) - 1 <= MOST_OPERATORS


def test_a_handed_back_job_shows_why_agents_may_create_in_pending(cloud: GuardedGcs) -> None:
    """A move needs the right to create where it ends, and IAM cannot tell it from an upload."""
    world = World(cloud)
    job = world.submit()
    claim = world.lab.claim(job.job_id)
    cloud.guard.used.clear()
    world.lab.queue.hand_back(claim, BROKEN, started=False, wait=timedelta(0))
    pending = f'resource.name.startsWith("{OBJECTS}{PREFIX}/{names.PENDING}")'
    assert ("storage.objects.create", pending) in cloud.guard.used["agent"]


def test_the_time_of_the_store_is_read_by_both(cloud: GuardedGcs) -> None:
    world = World(cloud)
    for bucket, who in ((world.site_bucket, names.SITE), (world.agent_bucket, "lab-1")):
        for _ in range(2):
            assert isinstance(store_now(bucket, who), datetime)
