"""Tokens of agents: ``labseg agent-token``, and Django's admin."""

from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from gcp_side.labseg.queue.checks import check_connections, check_tables
from gcp_side.labseg.queue.rows import AgentToken, QueueObject
from gcp_side.labseg.queue.store import DatabaseBucket
from gcp_side.labseg.queue.tokens import MARK, add_token, agent_of
from segrelay import names

pytestmark = pytest.mark.django_db

TOKENS = "/admin/labseg/agenttoken/"
OBJECTS = "/admin/labseg/queueobject/"


@pytest.fixture(autouse=True)
def own_queue(settings: Settings) -> None:
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "database:"}
    settings.ALLOWED_HOSTS = ["testserver", "site.example.org"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://site.example.org"]


def run(*arguments: str, notes: StringIO | None = None) -> str:
    out = StringIO()
    call_command("labseg", "agent-token", *arguments, stdout=out, stderr=notes or StringIO())
    return out.getvalue()


def test_a_token_is_shown_once_with_the_address_for_the_lab() -> None:
    out = run("add", "lab-1")
    token = re.search(rf"token +({MARK}\S+)", out)
    assert "https://site.example.org/api/mri/segmentation/queue\n" in out
    assert token is not None
    row = agent_of(token[1])
    assert row is not None
    assert row.agent == "lab-1"
    assert token[1] not in run("list") + run("list", "--json") + str(row.__dict__)


def test_as_json() -> None:
    document = json.loads(run("add", "lab-1", "--json"))
    assert set(document) == {"agent", "address", "token"}
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["agent"], listed["last_used"], listed["revoked"]) == ("lab-1", None, None)
    agent_of(document["token"])
    assert json.loads(run("revoke", "lab-1", "--json")) == {"agent": "lab-1", "revoked": 1}
    (listed,) = json.loads(run("list", "lab-1", "--json"))
    assert listed["last_used"]
    assert listed["revoked"]


def test_a_token_is_replaced_without_a_gap() -> None:
    old = add_token("lab-1")
    notes = StringIO()
    new = json.loads(run("add", "lab-1", "--json", notes=notes))["token"]
    assert "labseg agent-token revoke lab-1 --keep-newest" in notes.getvalue()
    assert "1 token of lab-1 revoked" in run("revoke", "lab-1", "--keep-newest")
    assert agent_of(old) is None
    assert agent_of(new) is not None


def test_what_is_wrong_is_said_in_one_line(settings: Settings) -> None:
    add_token("lab-2")
    with pytest.raises(CommandError, match="No token of lab-1") as caught:
        run("revoke", "lab-1")
    assert caught.value.returncode == 1
    assert AgentToken.objects.filter(revoked_at=None).count() == 1
    with pytest.raises(CommandError, match="names no agent"):
        run("add", "Lab 1")
    settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "gs://bucket-1/queue"}
    notes = StringIO()
    run("add", "lab-1", notes=notes)
    assert 'set SEGRELAY["BUCKET"] to "database:"' in notes.getvalue()


def test_an_address_of_a_site_that_nobody_has_named(settings: Settings) -> None:
    settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = ["*"], []
    notes = StringIO()
    assert "https://THIS-SITE/api/mri/segmentation/queue" in run("add", "lab-1", notes=notes)
    assert "this site's own name" in notes.getvalue()


def staff(*rights: str) -> Client:
    user = User.objects.create_user("-".join(("staff", *rights)), is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client = Client()
    client.force_login(user)
    return client


def messages_of(client: Client, address: str, body: dict[str, object]) -> list[str]:
    answer = client.post(address, body, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


class TestAdmin:
    """Django's admin, with Django's permissions."""

    def test_a_token_is_added_and_shown_once(self) -> None:
        client = staff("add_agenttoken", "view_agenttoken")
        shown = " ".join(messages_of(client, f"{TOKENS}add/", {"agent": "lab-1"}))
        token = re.search(rf"{MARK}[A-Za-z0-9_-]+", shown)
        assert token is not None
        assert "http://testserver/api/mri/segmentation/queue" in shown
        row = AgentToken.objects.get()
        assert agent_of(token[0]) == row
        for page in (TOKENS, f"{TOKENS}{row.pk}/change/", f"{TOKENS}{row.pk}/history/"):
            text = client.get(page).content.decode()
            assert "lab-1" in text
            assert token[0] not in text
            assert row.digest not in text

    def test_an_id_that_is_none(self) -> None:
        client = staff("add_agenttoken")
        answer = client.post(f"{TOKENS}add/", {"agent": "Lab 1"})
        assert "single hyphens" in answer.content.decode()
        assert not AgentToken.objects.exists()

    def test_revoking(self) -> None:
        token = add_token("lab-1")
        body: dict[str, object] = {
            "action": "revoke_selected",
            "_selected_action": [AgentToken.objects.get().pk],
        }
        looking = staff("view_agenttoken")
        assert looking.post(TOKENS, body, follow=True).status_code == 200
        assert agent_of(token) is not None
        client = staff("view_agenttoken", "change_agenttoken")
        assert messages_of(client, TOKENS, body) == ["1 token was revoked."]
        assert agent_of(token) is None

    def test_nobody_edits_or_deletes_one(self, admin_client: Client) -> None:
        add_token("lab-1")
        page = f"{TOKENS}{AgentToken.objects.get().pk}/"
        assert admin_client.post(f"{page}change/", {"agent": "lab-2"}).status_code == 403
        assert admin_client.post(f"{page}delete/", {"post": "yes"}).status_code == 403
        assert staff().get(TOKENS).status_code == 403

    def test_in_korean(self, admin_client: Client) -> None:
        add_token("lab-1")
        korean = {"Accept-Language": "ko"}
        text = admin_client.get(TOKENS, headers=korean).content.decode()
        assert "선택한 토큰 취소" in text
        text = admin_client.post(f"{TOKENS}add/", {"agent": "?"}, headers=korean).content.decode()
        assert "에이전트" in text
        assert "This is no agent" not in text
        assert "lab-agent setup이 묻습니다" in text
        body = {"agent": "lab-9"}
        page = admin_client.post(f"{TOKENS}add/", body, follow=True, headers=korean)
        # The admin writes the first letter of a message large: it must not be the agent's.
        assert "에이전트 lab-9의 토큰입니다" in page.content.decode()

    def test_objects_are_looked_at_by_part(self, admin_client: Client) -> None:
        bucket = DatabaseBucket()
        bucket.create(f"{names.PENDING}5-01.json", b"a-manifest")
        bucket.take_over(names.agent_object("lab-1"), {"signature": "a-signature"}, generation=0)
        text = admin_client.get(OBJECTS).content.decode()
        assert "5-01.json" in text
        assert "agents/lab-1.json" in text
        text = admin_client.get(f"{OBJECTS}?part={names.PENDING}").content.decode()
        assert "5-01.json" in text
        assert "agents/lab-1.json" not in text
        for pk in QueueObject.objects.values_list("pk", flat=True):
            page = admin_client.get(f"{OBJECTS}{pk}/change/", follow=True).content.decode()
            assert "a-signature" not in page
            assert "a-manifest" not in page
        assert admin_client.get(f"{OBJECTS}add/").status_code == 403
        assert staff("view_queueobject").get(OBJECTS).status_code == 200
        assert staff("view_job").get(OBJECTS).status_code == 403


class TestChecks:
    """``manage.py check``."""

    def test_a_database_without_the_queues_tables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert check_tables() == []
        tables = connection.introspection.table_names()
        tables.remove("labseg_agenttoken")
        monkeypatch.setattr(connection.introspection, "table_names", lambda: tables)
        assert [item.id for item in check_tables()] == ["labseg.W013"]

    def test_not_where_the_queue_is_elsewhere(self, settings: Settings) -> None:
        settings.SEGRELAY = settings.SEGRELAY | {"BUCKET": "gs://bucket-1/queue"}
        assert check_tables() == check_connections() == []

    @pytest.mark.parametrize(
        ("database", "complaints"),
        [
            ({}, []),
            ({"ENGINE": "django.db.backends.postgresql"}, ["labseg.W011"]),
            ({"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 60}, []),
            ({"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"pool": True}}, []),
        ],
    )
    def test_a_connection_for_each_request(
        self, monkeypatch: pytest.MonkeyPatch, database: dict[str, object], complaints: list[str]
    ) -> None:
        plain = {"ENGINE": "django.db.backends.sqlite3", "CONN_MAX_AGE": 0}
        monkeypatch.setitem(django_settings.DATABASES, "default", plain | database)
        assert [item.id for item in check_connections()] == complaints
