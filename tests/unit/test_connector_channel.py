"""The channel never shows a secret, and refuses what cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.channel import Auth, Basic, Bearer, Channel, HeaderKey
from outbox.model import HmsSyncError

SECRET = "t0ps3cret"


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (Bearer(SecretStr(SECRET)), {"Authorization": "Bearer t0ps3cret"}),
        (Basic("hms", SecretStr(SECRET)), {"Authorization": "Basic aG1zOnQwcHMzY3JldA=="}),
        (HeaderKey("X-Api-Key", SecretStr(SECRET)), {"X-Api-Key": "t0ps3cret"}),
    ],
)
def test_credentials_become_headers_and_are_never_shown(auth: Auth, headers: dict[str, str]) -> None:
    channel = Channel(auth=auth, proxy=SecretStr(f"http://u:{SECRET}@proxy:3128"))
    assert channel.auth_headers == headers
    assert SECRET in channel.secrets
    assert next(iter(headers.values())).split()[-1] in channel.secrets
    assert SECRET not in repr(channel) + repr(auth)
    assert "aG1zOnQ" not in repr(channel)


@pytest.mark.parametrize("token", ["", "a\nb", "a\r\nX: y", "ä", "a\0"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(HmsSyncError, match="bearer token"):
        Channel(auth=Bearer(SecretStr(token)))


def test_a_key_needs_its_certificate(tmp_path: Path) -> None:
    (tmp_path / "k.pem").touch()
    with pytest.raises(HmsSyncError, match="without tls"):
        Channel(key=tmp_path / "k.pem")


@pytest.mark.parametrize("proxy", ["https://proxy:3128", "socks5://proxy", "proxy:3128"])
def test_other_proxies_are_refused(proxy: str) -> None:
    with pytest.raises(HmsSyncError, match="http://"):
        Channel(proxy=SecretStr(proxy))
