"""From the configuration to what a lane needs: policy, routes, connector, and its registration in the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdc.config import Built, Config
from cdc.lane.house import House
from cdc.lane.policy import LanePolicy, RetryPolicy
from cdc.lane.routing import Routes, compile_routes
from cdc.lane.worker import LaneWorker
from outbox.db import Connection
from outbox.lanes import LaneId, Registration
from outbox.ledger import LaneLedger


@dataclass(frozen=True, slots=True)
class Kit:
    """Everything that serving one connector takes, made once per configuration."""

    policy: LanePolicy
    routes: Routes
    built: Built
    registration: Registration

    def worker(self, connection: Connection, lane: LaneId, house: House) -> LaneWorker:
        """A worker for ``lane`` with connections of its own."""
        policy = self.policy
        ledger = LaneLedger(connection, lane, policy.guarantee, dead_blocks=policy.hold_after_reject)
        return LaneWorker(ledger, self.built.courier(), self.routes, policy, house)


def assemble(config: Config) -> dict[str, Kit]:
    """One kit per configured connector. Raises HmsSyncError where a connector cannot be built."""
    return {name: _kit(config, name) for name in config.connectors}


def registrations(kits: Mapping[str, Kit]) -> list[Registration]:
    return [kit.registration for kit in kits.values()]


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
    )
    return Kit(_policy(config, built, registration), compile_routes(definition), built, registration)


def _policy(config: Config, built: Built, registration: Registration) -> LanePolicy:
    settings = built.settings
    return LanePolicy(
        connector=built.name,
        guarantee=registration.guarantee,
        mapping_version=registration.mapping_version,
        concurrency=settings.concurrency,
        page_size=settings.page_size,
        deadline_seconds=settings.deadline.total_seconds(),
        lease_seconds=config.daemon.lease.total_seconds(),
        soft_deadline_seconds=config.daemon.soft_deadline.total_seconds(),
        hold_after_reject=settings.after_reject == "hold",
        retry=RetryPolicy(
            settings.retry.attempts, settings.retry.base.total_seconds(), settings.retry.max.total_seconds()
        ),
        quiet_seconds=built.connector.quiet_seconds,
        window_seconds=built.connector.window_seconds,
    )
