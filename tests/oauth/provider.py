"""npm ``oidc-provider`` on a free loopback port."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote_plus

import requests
from pydantic import SecretStr

from connectors.channel import Channel, OAuth2
from tests.fixtures.debian import require_program
from tests.fixtures.npm import npm_folder
from tests.servers import free_port, running
from tests.wire import LOOPBACK

SECRET = "s3cr%t:+/&= of hms"
"""With everything that a form or a header would change if it were not encoded."""

_SIZES = count(1_000_000)


@dataclass(frozen=True)
class Provider:
    """A running provider: clients ``hms-sync``, ``hms-post``, ``hms-brief``, whose tokens live for three seconds."""

    url: str

    @property
    def asked(self) -> int:
        """How often its token endpoint was called."""
        return int(self._get("/test/asked").json()["asked"])

    def be_ill(self, status: int) -> None:
        """Answer with ``status`` whoever asks for a token; 0: be well again."""
        self._get(f"/test/ill?status={status}")

    def is_active(self, token: str) -> bool:
        return bool(self._post("/token/introspection", token).json()["active"])

    def revoke(self, token: str) -> None:
        assert self._post("/token/revocation", token).status_code == 200

    def client(self, **changes: object) -> OAuth2:
        """The credentials of our client here, with changes; no two clients share their tokens."""
        settings: dict[str, object] = {
            "token_url": f"{self.url}/token",
            "client_id": "hms-sync",
            "client_secret": SecretStr(SECRET),
            "channel": Channel(allow_addresses=LOOPBACK, max_answer_bytes=next(_SIZES)),
            "scope": "hearings:write",
        }
        return OAuth2(**{**settings, **changes})  # type: ignore[arg-type]

    def _get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=10)

    def _post(self, path: str, token: str) -> requests.Response:
        pair = (quote_plus("hms-sync"), quote_plus(SECRET))
        return requests.post(self.url + path, data={"token": token}, auth=pair, timeout=10)


@contextmanager
def provider(folder: Path) -> Iterator[Provider]:
    """Run the provider. Skips loudly where npm or the package is not to be had."""
    node, modules = require_program("node", "nodejs"), npm_folder("oidc-provider@9.13.3")
    script = folder / "provider.mjs"
    shutil.copy(Path(__file__).with_suffix(".mjs"), script)
    (folder / "node_modules").symlink_to(modules / "node_modules")
    port = free_port()
    with running([node, str(script), str(port), SECRET], port, folder / "provider.log"):
        yield Provider(f"http://127.0.0.1:{port}")
