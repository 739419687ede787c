"""What can be sent as a token, and what cannot."""

from __future__ import annotations

import pytest

from segrelay.bucket.site import checked_token, open_site_bucket
from segrelay.errors import FixConfigurationError


@pytest.mark.parametrize("token", ["", "sgr_" + "aB3-_" * 8, "a.b~c+d/e=="])
def test_a_token_is_taken_as_it_is(token: str) -> None:
    assert checked_token(token) == token


@pytest.mark.parametrize(
    "text",
    [
        "sgr_한",
        "sgr_é",
        "token    sgr_x",
        "hunter2 secret",
        "sgr_x\n",
        "a\nsgr_x\n",
        "sgr_x\r",
        "\0",
    ],
)
def test_what_no_header_can_hold_is_no_token_and_is_not_shown(text: str) -> None:
    with pytest.raises(FixConfigurationError) as caught:
        open_site_bucket("https://127.0.0.1:1/queue", lambda: text)
    error = caught.value
    assert error.code == "bucket-credentials"
    assert text.strip() not in f"{error.message}{error.remedy}"
    assert "agent-token add" in error.remedy
