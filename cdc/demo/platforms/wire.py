"""HTTP to the demo's platforms as any client speaks it: start-up, verifier, page and tests use it, never the daemon."""

from __future__ import annotations

import requests

from outbox.model import HmsSyncError, Json

_SECONDS = 30


class PlatformSilent(HmsSyncError):
    """A platform of the demo does not answer as it should."""


def open_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc stand between us and the loopback
    return session


def ask(session: requests.Session, method: str, url: str, **more: Json) -> requests.Response:
    try:
        return session.request(method, url, timeout=_SECONDS, allow_redirects=False, **more)
    except requests.RequestException as error:
        raise PlatformSilent(f"{method} {url} got no answer: {error}") from error


def expect(response: requests.Response, *statuses: int) -> requests.Response:
    if response.status_code not in statuses:
        raise PlatformSilent(
            f"{response.request.method} {response.url} answered {response.status_code}: {response.text[:200]}"
        )
    return response
