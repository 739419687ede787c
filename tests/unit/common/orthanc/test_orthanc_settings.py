"""What the settings of Orthanc may say, and what they may not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from segrelay.errors import FixConfigurationError
from segrelay.orthanc import OrthancSettings

PROXY = "http://proxy.example.org:3128"
SECRET = "hunter2"


def settings(**fields: object) -> OrthancSettings:
    return OrthancSettings.model_validate({"url": "https://orthanc.example.org", **fields})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": ""}, "orthanc-address"),
        ({"url": "orthanc.example.org"}, "orthanc-address"),
        ({"url": "https://"}, "orthanc-address"),
        ({"url": "https://[::1"}, "orthanc-address"),
        ({"url": "https://orthanc:99999"}, "orthanc-address"),
        ({"url": "https://orthanc/?a=b"}, "orthanc-address"),
        ({"url": "https://orthanc example"}, "orthanc-address"),
        ({"url": "https://orthanc..example.org"}, "orthanc-address"),
        ({"url": f"https://{'a' * 64}.example.org"}, "orthanc-address"),
        ({"url": "https://*.example.org"}, "orthanc-address"),
        ({"url": "https://orthanc", "user": "lab:secret"}, "configuration"),
        ({"url": f"https://lab:{SECRET}@orthanc"}, "orthanc-address"),
        ({"url": "http://orthanc"}, "orthanc-plain-http"),
        ({"url": "http://127.0.0.1:8042", "proxy": PROXY}, "orthanc-plain-http"),
        ({"user": "lab", "password": SECRET, "token": SECRET}, "orthanc-two-credentials"),
        ({"token": f"{SECRET}\r\nX-Other: 1"}, "orthanc-token"),
        ({"token": f"{SECRET} 2"}, "orthanc-token"),
        ({"token": f"{SECRET}ü"}, "orthanc-token"),
        ({"client_key": "/etc/key.pem"}, "orthanc-client-certificate"),
        ({"proxy": "proxy.example.org:3128"}, "orthanc-proxy"),
        ({"proxy": "socks5://proxy.example.org"}, "orthanc-proxy"),
        ({"proxy": f"{PROXY}/path"}, "orthanc-proxy"),
        ({"proxy": f"http://lab:{SECRET}@proxy.example.org:3128"}, "orthanc-proxy"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object], code: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        settings(**fields).checked()
    assert caught.value.code == code
    assert caught.value.remedy
    assert SECRET not in caught.value.message + caught.value.remedy


@pytest.mark.parametrize(
    "fields",
    [{"connections": 0}, {"connections": 65}, {"read_timeout": 0}, {"retries": -1}],
)
def test_limits_have_limits(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**fields)


@pytest.mark.parametrize(
    ("fields", "exposed"),
    [
        ({"url": "https://orthanc.example.org"}, False),
        ({"url": "https://127.0.0.1", "proxy": PROXY}, False),
        ({"url": "http://127.0.0.1:8042"}, False),
        ({"url": "http://[::1]:8042"}, False),
        ({"url": "http://localhost"}, False),
        ({"url": "http://127.0.0.1:8042", "proxy": PROXY, "allow_plain_http": True}, True),
        ({"url": "http://10.0.0.7:8042", "allow_plain_http": True}, True),
    ],
)
def test_what_the_network_can_read(fields: dict[str, object], exposed: bool) -> None:
    assert settings(**fields).checked().is_exposed is exposed


def test_addresses_are_tidied_and_secrets_not_shown() -> None:
    checked = settings(
        url="https://orthanc.example.org/o/", token=SECRET, proxy=f"{PROXY}/", proxy_user="p"
    ).checked()
    assert (checked.url, checked.proxy) == ("https://orthanc.example.org/o", PROXY)
    assert SECRET not in repr(checked)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https:/orthanc.example.org", "https://orthanc.example.org"),
        ("http//127.0.0.1:8042", "http://127.0.0.1:8042"),
        ("htps://orthanc.example.org", "https://orthanc.example.org"),
        ("https://https://orthanc.example.org", "https://orthanc.example.org"),
        ("https://orthanc.example.org/app/explorer.html", "https://orthanc.example.org"),
        ("https://example.org/pacs/ui/app/index.html#/", "https://example.org/pacs"),
        (
            "https://orthanc.example.org/app/explorer.html?token=hunter2",
            "https://orthanc.example.org",
        ),
    ],
)
def test_a_slip_in_the_address_is_answered_with_what_was_meant(given: str, meant: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        OrthancSettings(url=given).checked()

    assert caught.value.remedy == f"Did you mean {meant}?"
    assert OrthancSettings(url=meant).checked().url == meant


def test_an_address_below_a_prefix_and_one_in_korean_are_taken() -> None:
    for url in ("https://example.org/app", "https://병원.example", "http://[::1]:8042"):
        assert OrthancSettings(url=url).checked().url == url
