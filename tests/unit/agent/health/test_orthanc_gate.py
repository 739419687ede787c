"""What the agent says of Orthanc at start."""

from __future__ import annotations

import logging

import pytest

from lab_side.agent.health.orthanc_gate import OrthancGate
from segrelay.errors import FixConfigurationError
from segrelay.orthanc import OrthancClient, OrthancSettings
from tests.support.servers.raw_server import Script, answer, raw_server

SYSTEM = answer(b'{"ApiVersion": 16}')


def start(script: Script, *, over_proxy: bool) -> None:
    with raw_server(script) as server:
        fields: dict[str, object] = {"url": server.url}
        if over_proxy:
            fields = {
                "url": "http://orthanc.example.org",
                "proxy": server.url,
                "allow_plain_http": True,
            }
        client = OrthancClient(OrthancSettings.model_validate(fields))
        try:
            OrthancGate(client).check_at_start(is_patient=True)
        finally:
            client.close()


@pytest.mark.parametrize("over_proxy", [True, False])
def test_plain_http_to_another_machine_is_warned_of(
    caplog: pytest.LogCaptureFixture, over_proxy: bool
) -> None:
    logging.getLogger("segrelay").propagate = True
    start(SYSTEM, over_proxy=over_proxy)
    warned = [item for item in caplog.records if item.levelno == logging.WARNING]
    assert len(warned) == over_proxy
    assert all("Orthanc called by plain http" in item.message for item in warned)


def test_an_address_that_leads_elsewhere_stops_the_agent() -> None:
    moved = answer(status="302 Found", headers="Location: https://login.example.org/\r\n")
    with pytest.raises(FixConfigurationError) as caught:
        start(moved, over_proxy=False)
    assert caught.value.code == "orthanc-redirect"
