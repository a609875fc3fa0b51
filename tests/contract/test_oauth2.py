"""Client credentials against a real provider: a token for all, renewed in time and after a refusal, never shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from pydantic import SecretStr

from connectors.channel import Channel, OAuth2
from connectors.courier import Courier, deliver_now
from connectors.exchange import HttpRequest
from connectors.http.connector import RestConnector
from connectors.http.options import HttpOptions
from connectors.transports import authorized, open_transport
from outbox.model import ErrorClass, NotApplied, Outcome, Rejected
from tests.exchanges import delivery, upsert
from tests.hostile import OK, Peer, answers, hostile, silent
from tests.oauth import Platform, Provider, platform, provider
from tests.oauth.provider import SECRET
from tests.servers import free_port
from tests.wire import LOOPBACK, Open, answered, ends, failed, send

REFUSES = answers(b"HTTP/1.1 401 Who are you\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("oauth")) as running:
        yield running


@pytest.fixture
def well(issuer: Provider) -> Iterator[Provider]:
    """The provider, well again after the test."""
    yield issuer
    issuer.be_ill(0)


@pytest.fixture
def court(issuer: Provider) -> Iterator[Platform]:
    with platform(issuer) as running:
        yield running


def channel(auth: OAuth2) -> Channel:
    return Channel(auth=auth, allow_addresses=LOOPBACK)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come to pass"
        time.sleep(0.05)


# ---------------------------------------------------------------- one token after the other


@pytest.mark.parametrize("client", [{}, {"client_id": "hms-post", "client_auth": "post"}], ids=["basic", "post"])
def test_a_token_is_fetched_once_and_carried_by_every_request(
    open_: Open, issuer: Provider, court: Platform, client: dict[str, object]
) -> None:
    asked = issuer.asked
    transport = open_(channel(issuer.client(**client)))
    for _ in range(3):
        assert answered(send(transport, court.url + "/h/1", "PUT")).status == 201
    assert (issuer.asked - asked, len(set(court.tokens))) == (1, 1)


def test_a_token_is_renewed_before_it_ends(issuer: Provider, court: Platform) -> None:
    """The platform never sees one that has expired."""
    with closing(open_transport("curl", channel(issuer.client(client_id="hms-brief")), 1)) as transport:
        assert answered(send(transport, court.url + "/h/1", "PUT")).status == 201
        give_up = time.monotonic() + 20
        while issuer.is_active(court.tokens[0]):
            assert time.monotonic() < give_up
            assert answered(send(transport, court.url + "/h/1", "PUT")).status == 201
        assert answered(send(transport, court.url + "/h/1", "PUT")).status == 201
    assert set(court.statuses) == {201}
    assert len(set(court.tokens)) >= 2


def test_a_revoked_token_costs_one_refresh_and_the_request_is_applied_once(
    open_: Open, issuer: Provider, court: Platform
) -> None:
    transport = open_(channel(issuer.client()))
    send(transport, court.url + "/h/1", "PUT", b"first")
    issuer.revoke(court.tokens[-1])
    asked = issuer.asked
    assert answered(send(transport, court.url + "/h/1", "PUT", b"second")).status == 201
    assert court.statuses == [201, 401, 201]
    assert court.applied == ["/h/1 first", "/h/1 second"]
    assert issuer.asked == asked + 1


def test_a_platform_that_refuses_every_token_is_asked_twice_and_not_in_a_circle(
    open_: Open, issuer: Provider, court: Platform
) -> None:
    transport, asked = open_(channel(issuer.client())), issuer.asked
    assert answered(send(transport, court.url + "/never", "PUT")).status == 401
    assert court.statuses == [401, 401]
    assert issuer.asked - asked <= 2


# ---------------------------------------------------------------- one renewal for all


def test_all_lanes_share_one_renewal(issuer: Provider, court: Platform) -> None:
    """Twelve lanes begin at once without a token, and again when theirs was revoked: one question each time."""
    client, asked = issuer.client(), issuer.asked
    connector = channel(client)  # outlives the transports of its lanes
    assert everybody(client, court) == [201] * 12
    assert issuer.asked - asked == 1
    issuer.revoke(court.tokens[-1])
    assert everybody(client, court) == [201] * 12
    assert issuer.asked - asked == 2
    assert len(court.applied) == 24
    assert connector.tokens is not None
    assert len(connector.tokens.seen) == 2


def everybody(client: OAuth2, court: Platform) -> list[int]:
    """Each lane with a channel and a transport of its own; the statuses that they got."""
    barrier = threading.Barrier(12)

    def lane(number: int) -> int:
        with closing(open_transport("curl", channel(client), 1)) as transport:
            barrier.wait(10)
            return answered(send(transport, f"{court.url}/h/{number}", "PUT", deadline=15)).status

    with ThreadPoolExecutor(12) as lanes:
        return list(lanes.map(lane, range(12)))


# ---------------------------------------------------------------- a provider that gives none


def outcome_of(auth: OAuth2, url: str, deadline: float = 5.0) -> Outcome:
    """What a delivery with ``auth`` comes to."""
    options = HttpOptions.model_validate({"create": {"method": "PUT", "path": "/h/{record_key}"}})
    made = channel(auth)
    courier = Courier(
        RestConnector(url, options),
        open_transport("curl", made, 1),
        deadline_seconds=deadline,
        concurrency=1,
        secrets=lambda: made.secrets,
    )
    try:
        return deliver_now(courier, delivery(), upsert(), None).outcome
    finally:
        courier.close()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_provider_in_trouble_is_a_platform_in_trouble(well: Provider, court: Platform, status: int) -> None:
    well.be_ill(status)
    outcome = outcome_of(well.client(), court.url)
    assert isinstance(outcome, NotApplied)
    assert (outcome.platform, outcome.error_class) == (True, ErrorClass.NETWORK)
    assert f"gives no token (HTTP {status})" in outcome.reason
    assert court.statuses == []


def test_a_provider_that_is_away_is_a_platform_in_trouble(issuer: Provider, court: Platform) -> None:
    outcome = outcome_of(issuer.client(token_url=f"http://127.0.0.1:{free_port()}/token"), court.url)
    assert isinstance(outcome, NotApplied)
    assert outcome.platform
    assert "token endpoint cannot be asked" in outcome.reason


def test_a_provider_that_is_silent_does_not_hold_the_delivery_beyond_its_deadline(
    issuer: Provider, court: Platform
) -> None:
    with hostile(silent) as deaf:
        began = time.monotonic()
        outcome = outcome_of(issuer.client(token_url=deaf.url), court.url, deadline=0.5)
        assert time.monotonic() - began < 5
    assert isinstance(outcome, NotApplied)
    assert (outcome.platform, outcome.reason) == (True, "no token in time")


def test_a_wrong_secret_stops_the_connector_and_blames_no_record(issuer: Provider, court: Platform) -> None:
    outcome = outcome_of(issuer.client(client_secret=SecretStr("wr0ng-s3cret")), court.url)
    assert isinstance(outcome, Rejected)
    assert (outcome.platform, outcome.error_class) == (True, ErrorClass.CREDENTIALS)
    assert "refuses our client (HTTP 401, invalid_client); check auth.oauth2" in outcome.reason


def test_a_wrong_token_url_stops_the_connector(issuer: Provider, court: Platform) -> None:
    outcome = outcome_of(issuer.client(token_url=f"{issuer.url}/tokens"), court.url)
    assert isinstance(outcome, Rejected)
    assert (outcome.platform, outcome.error_class) == (True, ErrorClass.MISCONFIGURED)
    assert "does not take our request (HTTP 404" in outcome.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"access_token": 7, "token_type": "Bearer"}',
        b'{"access_token": "a\\r\\nX: y", "token_type": "Bearer"}',
        b'{"access_token": "mac", "token_type": "mac"}',
    ],
)
def test_an_answer_that_holds_no_token_is_none(court: Platform, issuer: Provider, body: bytes) -> None:
    with hostile(answers(_ok(body))) as strange:
        outcome = outcome_of(issuer.client(token_url=strange.url), court.url)
    assert isinstance(outcome, NotApplied)
    assert (outcome.platform, court.statuses) == (True, [])


def test_a_provider_that_sends_us_elsewhere_is_not_followed(court: Platform, issuer: Provider) -> None:
    moved = b"HTTP/1.1 307 Elsewhere\r\nLocation: " + f"{issuer.url}/token".encode() + b"\r\nContent-Length: 0\r\n\r\n"
    asked = issuer.asked
    with hostile(answers(moved)) as strange:
        outcome = outcome_of(issuer.client(token_url=strange.url), court.url)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, issuer.asked) == (ErrorClass.MISCONFIGURED, asked)


def test_after_a_refusal_no_request_goes_out_without_another_token(well: Provider, court: Platform) -> None:
    """Revoked while the provider is ill: nothing was applied, and nothing more is sent."""
    with closing(open_transport("curl", channel(well.client()), 1)) as transport:
        send(transport, court.url + "/h/1", "PUT")
        well.revoke(court.tokens[-1])
        well.be_ill(503)
        refused = failed(send(transport, court.url + "/h/1", "PUT"))
        assert (refused.error_class, refused.sent) == (ErrorClass.NETWORK, False)
        well.be_ill(0)
        assert answered(send(transport, court.url + "/h/1", "PUT")).status == 201
    assert court.statuses == [201, 401, 201]


# ---------------------------------------------------------------- what is never shown, and what is defended


def test_a_platform_that_repeats_the_token_does_not_get_it_into_the_audit(issuer: Provider, court: Platform) -> None:
    outcome = outcome_of(issuer.client(), f"{court.url}/echo?")
    assert isinstance(outcome, Rejected)
    assert outcome.answer.excerpt == "you sent Bearer ***"


def test_the_secrets_of_the_channel_are_those_of_this_moment(issuer: Provider, court: Platform) -> None:
    made = channel(issuer.client())
    assert SECRET in made.secrets
    with closing(open_transport("curl", made, 1)) as transport:
        send(transport, court.url + "/h/1", "PUT")
    (token,) = court.tokens
    assert token in made.secrets
    assert all(secret not in repr(made) for secret in made.secrets)


def test_the_connection_of_a_probe_carries_the_token_too(issuer: Provider, court: Platform) -> None:
    request = authorized("requests", channel(issuer.client()), HttpRequest("PUT", court.url + "/h/1"))
    assert issuer.is_active(request.headers["Authorization"].removeprefix("Bearer "))


def test_a_request_that_waits_for_a_token_does_not_hold_up_the_answer_of_another(issuer: Provider) -> None:
    token = b'{"access_token": "first", "token_type": "Bearer", "expires_in": 600}'
    released = threading.Event()

    def one_token_only(peer: Peer) -> None:
        if peer.read_request() and len(peer.hostile.requests) == 1:
            peer.send(_ok(token))
        peer.hold()

    def answers_when_released(peer: Peer) -> None:
        if peer.read_request() and released.wait(10):
            peer.send(OK)

    with hostile(one_token_only) as strange, hostile(answers_when_released) as slow, hostile(REFUSES) as refuser:
        made = channel(issuer.client(token_url=strange.url))
        with closing(open_transport("curl", made, 4)) as transport:
            transport.start("slow", HttpRequest("PUT", slow.url), 20)
            transport.start("refused", HttpRequest("PUT", refuser.url), 2)
            until(lambda: not transport.poll(0.05) and len(strange.requests) == 2)
            released.set()
            assert answered(ends(transport)[1]).status == 200
            assert failed(ends(transport)[1]).reason == "no token in time"


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
