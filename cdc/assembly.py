"""From the configuration to what a lane needs: policy, routes, connector, and its registration in the outbox."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cdc.config import Built, Config
from cdc.config.models import ConnectorConfig
from cdc.lane.house import House
from cdc.lane.policy import LanePolicy, RetryPolicy
from cdc.lane.routing import Routes, compile_routes
from cdc.lane.worker import LaneWorker
from connectors.registry import kinds
from outbox.db import Connection
from outbox.flow import Limits
from outbox.lanes import LaneId, Registration
from outbox.ledger import LaneLedger
from outbox.model import Guarantee, Verified

_ROUNDS, _SMALLEST_PAGE, _LARGEST_PAGE = 8, 500, 4_000


@dataclass(frozen=True, slots=True)
class Kit:
    """Everything that serving one connector takes, made once per configuration."""

    policy: LanePolicy
    routes: Routes
    built: Built
    registration: Registration
    witness: Path | None = None

    @property
    def declared(self) -> Guarantee:
        """The class that kind and options promise; the one in force is the policy's."""
        return self.built.connector.guarantee

    def worker(self, connection: Connection, lane: LaneId, house: House) -> LaneWorker:
        """A worker for ``lane`` with connections of its own."""
        policy = self.policy.of_lane(lane.lane, lane.lanes)
        ledger = LaneLedger(connection, lane, policy.guarantee, dead_blocks=policy.hold_after_reject)
        courier = self.built.courier(policy.guarantee)
        return LaneWorker(ledger, courier, self.routes, policy, house)

    def serves_like(self, other: Kit | None) -> bool:
        """True where a worker of the one may go on under the other: the settings are the same, the secrets too."""
        mine = (self.policy, self.registration, self.built.settings, self.witness)
        return other is not None and mine == (other.policy, other.registration, other.built.settings, other.witness)

    def under(self, guarantee: Guarantee, verified: Verified, accepted: str | None = None) -> Kit:
        """The same connector served under the class that was found for it."""
        registration = replace(self.registration, guarantee=guarantee, verified=verified, accepted=accepted)
        return replace(self, policy=replace(self.policy, guarantee=guarantee), registration=registration)


def assemble(config: Config) -> dict[str, Kit]:
    """One kit per configured connector, under its declared class; see :mod:`cdc.receivers.admission`.

    Raises HmsSyncError where a connector cannot be built.
    """
    return {name: _kit(config, name) for name in config.connectors}


def _kit(config: Config, name: str) -> Kit:
    settings = config.connectors[name]
    built = config.build(name)
    definition = config.definition(name)
    registration = Registration(
        name,
        settings.kind,
        built.connector.guarantee,
        config.mapping_version(name),
        definition,
        lanes=settings.lanes,
        from_now=settings.start == "now",
        subject=config.subject(name),
        limits=limits_of(settings),
    )
    return Kit(
        _policy(config, built, registration), compile_routes(definition), built, registration, config.daemon.witness
    )


def limits_of(settings: ConnectorConfig) -> Limits:
    """What all lanes of a connector share. Without a word about it, the bucket holds what half a second brings."""
    burst = settings.burst or max(1.0, settings.rate / 2) if settings.rate else None
    return Limits(settings.rate, burst, settings.max_in_flight)


def default_page_size(concurrency: int) -> int:
    """Enough rounds for one page that claiming it is a small part of the work."""
    return min(max(_SMALLEST_PAGE, _ROUNDS * concurrency), _LARGEST_PAGE)


def _policy(config: Config, built: Built, registration: Registration) -> LanePolicy:
    settings = built.settings
    return LanePolicy(
        connector=built.name,
        guarantee=registration.guarantee,
        mapping_version=registration.mapping_version,
        concurrency=settings.concurrency,
        page_size=settings.page_size or default_page_size(settings.concurrency),
        deadline_seconds=settings.deadline.total_seconds(),
        lease_seconds=config.daemon.lease.total_seconds(),
        soft_deadline_seconds=config.daemon.soft_deadline.total_seconds(),
        hold_after_reject=settings.after_reject == "hold",
        retry=RetryPolicy(
            settings.retry.attempts, settings.retry.base.total_seconds(), settings.retry.max.total_seconds()
        ),
        quiet_seconds=built.connector.quiet_seconds,
        window_seconds=built.connector.window_seconds,
        rate=settings.rate,
        max_in_flight=settings.max_in_flight,
        fuse=settings.fuse,
        takes_files=kinds()[settings.kind].takes_files,
    )
