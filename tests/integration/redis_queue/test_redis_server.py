"""A Redis that is set up wrongly, refuses, is full, or is none: one clear error each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from infra.servers.certificates import Authority
from infra.servers.ports import free_port
from infra.servers.redis import RedisServer
from lab_side.doctor.finding import Verdict
from lab_side.doctor.queue import check_promises
from lab_side.doctor.redis import check_listening
from segrelay import names
from segrelay.bucket import CheckedServer, open_bucket
from segrelay.bucket import redis as redis_module
from segrelay.bucket.redis import RedisBucket
from segrelay.bucket.redis_answers import explain
from segrelay.bucket.sealed import SealedBucket
from segrelay.errors import FixConfigurationError, SegRelayError, StoreUnavailableError
from segrelay.queue import verify_store
from segrelay.signing import Trust
from tests.support.buckets.redis import fresh_address, redis_bucket
from tests.support.listener import Listener
from tests.support.paths import ROOT

JOB = f"{names.PENDING}5-01.json"
PASSWORD = "hunter2-of-a-redis"


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    """A client whose changes of settings and users end with the test."""
    with closing(server.client()) as client:
        kept = client.config_get("maxmemory*", "append*")
        yield client
        client.execute_command("REPLICAOF", "NO", "ONE")
        for name in ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync"):
            client.config_set(name, kept[name] or "")
        client.config_set("replica-serve-stale-data", "yes")
        client.acl_deluser("lab")


@pytest.fixture
def bucket(server: RedisServer) -> Iterator[RedisBucket]:
    bucket = redis_bucket(fresh_address(server.address), deadline=0.2)
    yield bucket
    bucket.close()


def refusal(bucket: RedisBucket) -> SegRelayError:
    with pytest.raises(SegRelayError) as caught:
        bucket.create(JOB, b"x" * 1000)
    bucket.close()
    assert caught.value.remedy
    assert PASSWORD not in f"{caught.value.message}{caught.value.remedy}"
    return caught.value


def test_one_that_removes_keys_when_it_is_full(bucket: RedisBucket, admin: redis.Redis) -> None:
    admin.config_set("maxmemory-policy", "allkeys-lru")
    (remark,) = bucket.check_server()
    assert "noeviction" in remark.remedy
    admin.config_set("maxmemory", "100mb")
    with pytest.raises(FixConfigurationError) as caught:
        verify_store(bucket)
    assert (caught.value.code, "noeviction" in caught.value.remedy) == ("store-evicts", True)
    admin.config_set("maxmemory-policy", "noeviction")
    assert verify_store(bucket) == []


def test_one_that_keeps_nothing_on_a_disk(
    server: RedisServer, bucket: RedisBucket, admin: redis.Redis
) -> None:
    admin.config_set("appendonly", "no")
    with pytest.raises(FixConfigurationError) as caught:
        verify_store(SealedBucket(bucket, None, Trust.of()))
    assert caught.value.code == "store-not-durable"
    assert "appendonly yes" in caught.value.remedy
    allowed = redis_bucket(f"{fresh_address(server.address)}?allow_loss=yes")
    (remark,) = verify_store(allowed)
    assert "jobs are lost" in remark.text
    allowed.close()


def test_one_that_is_reading_its_file_after_a_restart() -> None:
    """It reports that it writes none until it has read all of it."""
    # It answers every 1024 commands while it reads: each second, for twenty.
    slow = {"key-load-delay": "1000", "appendfsync": "no"}
    with RedisServer(slow) as server:
        with closing(server.client()) as client:
            pipeline = client.pipeline(transaction=False)
            for number in range(20 * 1024):
                pipeline.set(f"key-{number}", "x")
            pipeline.execute()
        server.kill()
        server.start()
        impatient = redis_bucket(server.address, deadline=0.0)
        with pytest.raises(StoreUnavailableError, match="loading its data"):
            impatient.check_server()
        with closing(server.client()) as client:
            client.config_set("key-load-delay", 0)
        patient = redis_bucket(server.address, deadline=60)
        (remark,) = patient.check_server()
        assert "appendfsync is no" in remark.text
        impatient.close()
        patient.close()


@pytest.mark.parametrize(("fsync", "words"), [("everysec", "second"), ("no", "half a minute")])
def test_one_that_writes_to_its_disk_later(
    bucket: RedisBucket, admin: redis.Redis, fsync: str, words: str
) -> None:
    admin.config_set("appendfsync", fsync)
    ok, warning = check_promises(bucket)
    assert (ok.verdict, warning.verdict) == (Verdict.OK, Verdict.WARNING)
    assert f"appendfsync is {fsync}" in warning.detail
    assert words in warning.detail


def test_a_full_one_takes_no_submit_and_loses_no_claim(
    bucket: RedisBucket, admin: redis.Redis
) -> None:
    made = bucket.create(JOB, b"{}")
    admin.config_set("maxmemory", "1mb")
    with pytest.raises(StoreUnavailableError) as caught:
        bucket.create("a", b"x")
    assert caught.value.code == "store-full"
    moved = bucket.move(JOB, f"{names.CLAIMED}lab/5-01.json", generation=made.generation)
    assert bucket.list("") == [moved]
    admin.config_set("maxmemory", "0")
    bucket.create("a", b"x")


def test_a_replica(bucket: RedisBucket, admin: redis.Redis) -> None:
    bucket.create("a", b"x")
    admin.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
    found = refusal(bucket)
    assert isinstance(found, StoreUnavailableError)
    assert "replica" in found.message
    admin.config_set("replica-serve-stale-data", "no")
    found = refusal(bucket)
    assert isinstance(found, StoreUnavailableError)
    assert "lost its master" in found.message


def test_users_and_passwords(server: RedisServer, admin: redis.Redis) -> None:
    address = fresh_address(server.address).replace("//", "//lab@")
    admin.execute_command("ACL", "SETUSER", "lab", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    wrong = refusal(redis_bucket(address, "wrong", deadline=0.2))
    assert (type(wrong), wrong.code) == (FixConfigurationError, "bucket-credentials")
    with pytest.raises(FixConfigurationError) as caught:
        open_bucket(address)
    assert caught.value.code == "bucket-credentials"
    bucket = redis_bucket(address, PASSWORD, deadline=0.2)
    bucket.create("a", b"1")
    # Changed while the agent runs: it may be an operator's work of a moment.
    admin.execute_command("ACL", "SETUSER", "lab", "resetpass", ">another")
    admin.execute_command("CLIENT", "KILL", "USER", "lab")
    later = refusal(bucket)
    assert (type(later), later.code) == (StoreUnavailableError, "bucket-credentials")


def test_a_password_is_read_for_each_connection(server: RedisServer, admin: redis.Redis) -> None:
    address = fresh_address(server.address).replace("//", "//lab@")
    passwords = [PASSWORD]
    admin.execute_command("ACL", "SETUSER", "lab", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    bucket = open_bucket(address, password=lambda: passwords[-1])
    bucket.create("a", b"1")
    admin.execute_command("ACL", "SETUSER", "lab", "resetpass", ">another")
    admin.execute_command("CLIENT", "KILL", "USER", "lab")
    passwords.append("another")
    assert len(bucket.list("")) == 1


def test_a_user_without_a_right(server: RedisServer, admin: redis.Redis) -> None:
    address = fresh_address(server.address).replace("//", "//lab@")
    rules = ("on", f">{PASSWORD}", "~*", "&*", "+@all", "-hset")
    admin.execute_command("ACL", "SETUSER", "lab", *rules)
    bucket = redis_bucket(address, PASSWORD, deadline=0.2)
    assert bucket.list("") == []
    found = refusal(bucket)
    assert (type(found), found.code) == (FixConfigurationError, "bucket-forbidden")
    assert "ACL SETUSER" in found.remedy


def test_the_rights_that_operators_are_given(server: RedisServer, admin: redis.Redis) -> None:
    """The rules in the operators' guide are enough, and none of them is for another prefix."""
    text = (ROOT / "infra" / "OPERATIONS.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if "ACL SETUSER lab on" in line]
    rules = line.partition("ACL SETUSER lab ")[2].replace("'", "").split()
    prefix = redis_prefix = fresh_address(server.address).rpartition("/")[2]
    rules = [rule.replace("segrelay:", f"{redis_prefix}:") for rule in rules if rule[0] != ">"]
    admin.execute_command("ACL", "SETUSER", "lab", *rules, f">{PASSWORD}")
    address = f"{server.address.rpartition('/')[0]}/{prefix}".replace("//", "//lab@")
    bucket = redis_bucket(address, PASSWORD)
    assert verify_store(bucket) == []
    bucket.create(JOB, b"{}")
    bucket.replace(f"{names.PROGRESS}a", b"{}")
    assert bucket.prune() == 0
    with bucket.arrivals() as arrivals:
        arrivals.begin()
        bucket.create(f"{names.PENDING}5-02.json", b"{}")
        assert arrivals.wait(5)
    bucket.close()
    other = redis_bucket(fresh_address(address), PASSWORD, deadline=0.2)
    with pytest.raises(FixConfigurationError) as caught:
        other.create("a", b"1")
    assert caught.value.code == "bucket-forbidden"
    other.close()


def test_one_whose_settings_may_not_be_asked_for(server: RedisServer, admin: redis.Redis) -> None:
    address = fresh_address(server.address).replace("//", "//lab@")
    rules = ("on", f">{PASSWORD}", "~*", "&*", "+@all", "-config")
    admin.execute_command("ACL", "SETUSER", "lab", *rules)
    bucket = redis_bucket(address, PASSWORD)
    (remark,) = verify_store(bucket)
    assert "CONFIG GET" in remark.text
    admin.execute_command("ACL", "SETUSER", "lab", "-info")
    (remark,) = verify_store(bucket)
    assert "INFO" in remark.text
    bucket.close()


def test_the_doctor_says_when_a_user_may_not_listen(
    server: RedisServer, admin: redis.Redis
) -> None:
    address = fresh_address(server.address).replace("//", "//lab@")
    rules = ("on", f">{PASSWORD}", "~*", "resetchannels", "+@all")
    admin.execute_command("ACL", "SETUSER", "lab", *rules)
    bucket = redis_bucket(address, PASSWORD)
    found = check_listening(bucket)
    assert (found.verdict, found.code) == (Verdict.WARNING, "bucket-forbidden")
    admin.execute_command("ACL", "SETUSER", "lab", "allchannels")
    admin.execute_command("CLIENT", "KILL", "USER", "lab")
    assert check_listening(bucket).verdict is Verdict.OK
    bucket.close()


def test_a_database_that_there_is_not(server: RedisServer) -> None:
    found = refusal(redis_bucket(server.address.replace("/0/", "/999/"), deadline=0.2))
    assert (type(found), found.code) == (FixConfigurationError, "bucket-missing")


def test_nothing_that_answers() -> None:
    found = refusal(redis_bucket(f"redis://127.0.0.1:{free_port()}", deadline=0.2))
    assert (type(found), found.code) == (StoreUnavailableError, "store-unavailable")


def test_a_web_server() -> None:
    page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    def refuse(line: socket.socket) -> None:
        line.recv(1000)
        line.sendall(page)

    web = Listener(refuse)
    port = web.url.rpartition(":")[2]
    found = refusal(redis_bucket(f"redis://127.0.0.1:{port}", deadline=0.2))
    web.close()
    assert (type(found), found.code) == (FixConfigurationError, "bucket-refused")
    assert "Another server" in found.message


def test_plain_where_tls_is_spoken_and_the_reverse(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Redis waits for the end of what it takes for a line.
    monkeypatch.setattr(redis_module, "ANSWER_TIMEOUT", 0.3)
    monkeypatch.setattr(redis_module, "CONNECT_TIMEOUT", 0.3)
    found = refusal(redis_bucket(server.address.replace("redis:", "rediss:"), deadline=0.2))
    assert (type(found), found.code) == (StoreUnavailableError, "store-unavailable")
    assert "TLS" in found.remedy
    monkeypatch.undo()
    authority = Authority(tmp_path)
    with RedisServer(identity=authority.issue("redis"), authority=authority) as encrypted:
        found = refusal(redis_bucket(encrypted.address, deadline=0.2))
        assert (type(found), found.code) == (FixConfigurationError, "bucket-certificate")
        plain = encrypted.address.replace("rediss:", "redis:")
        found = refusal(redis_bucket(plain, deadline=0.2))
        assert found.code in ("bucket-refused", "store-unavailable")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
        trusting = open_bucket(encrypted.address)
        trusting.create(JOB, b"{}")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert len(open_bucket(encrypted.address).list("")) == 1


def test_a_cluster() -> None:
    with RedisServer({"cluster-enabled": "yes"}) as cluster:
        bucket = open_bucket(cluster.address)
        assert isinstance(bucket, CheckedServer)
        with pytest.raises(FixConfigurationError) as caught:
            bucket.check_server()
    assert (caught.value.code, "Cluster" in caught.value.message) == ("bucket-refused", True)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL.", "SCRIPT KILL"),
        ("LOADING Redis is loading the dataset in memory", "automatically"),
        ("READONLY You can't write against a read only replica.", "address"),
        ("NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
        ("max number of clients reached", "maxclients"),
    ],
)
def test_a_trouble_of_a_moment_is_retried_and_says_what_to_do_if_it_lasts(
    refusal: str, words: str
) -> None:
    found = explain(redis.ResponseError(refusal), "redis://127.0.0.1")
    assert type(found) is StoreUnavailableError
    assert words in found.remedy
