"""Which connectors this daemon serves, and under which class; changed by another config and by new verdicts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from cdc.assembly import Kit
from cdc.receivers.admission import Admission, NotAdmitted, admit
from cdc.receivers.fitting import misfits
from cdc.watch.logs import fields
from cdc.watch.observe import ConnectorPaused, Observer
from outbox import db, lanes, operate, verdicts
from outbox.lanes import DAEMON
from outbox.model import ErrorClass

_LOG = logging.getLogger(__name__)


class Roster:
    """The kits that are wanted, and those of them that may be served.

    ``look`` raises where a connection leads to another database; ``serve`` is told when verdicts change the roster.
    """

    def __init__(
        self,
        dsn: str,
        look: Callable[[db.Connection], None],
        serve: Callable[[Mapping[str, Kit]], None],
        observe: Observer,
    ) -> None:
        self._dsn = dsn
        self._look = look
        self._serve = serve
        self._observe = observe
        self._lock = threading.Lock()
        self._wanted: Mapping[str, Kit] = {}
        self.served: Mapping[str, Kit] = {}

    def enter(self, kits: Mapping[str, Kit]) -> Mapping[str, Kit]:
        """All of a config or nothing of it; returns what is served. Raises HmsSyncError; then nothing has changed.

        A connector that is paused may wait for its verdict, and for its target's columns: one receiver that fell short
        must not keep the daemon from serving the others.
        """
        unfit = {name: NotAdmitted(sentence) for name, kit in kits.items() if (sentence := _unfit(name, kit))}
        with self._lock, db.connect(self._dsn, name="hms-sync register") as connection:
            with connection.transaction():
                self._look(connection)
                admission = admit(connection, kits.values())
                refusals = {**unfit, **admission.refused}
                refused = [one for name, one in refusals.items() if not verdicts.is_paused(connection, name)]
                if refused:
                    raise NotAdmitted("\n".join(map(str, refused)))
                _register(connection, admission)
            self._wanted = kits
            return self._now(admission)

    def review(self, connection: db.Connection) -> None:
        """What was verified, or found wanting, since the last time comes into force.

        A connector that may not be served any longer is paused, also when somebody has just resumed it.
        """
        with self._lock:
            self._look(connection)
            admission = admit(connection, self._wanted.values())
            for name, refusal in admission.refused.items():
                self._pause(connection, name, str(refusal))
            if admission.kits != self.served:
                with connection.transaction():
                    _register(connection, admission)
                self._serve(self._now(admission))

    def _pause(self, connection: db.Connection, connector: str, reason: str) -> None:
        if not verdicts.is_paused(connection, connector):
            operate.pause(connection, connector, actor=DAEMON, reason=reason)
            self._observe(ConnectorPaused(connector, ErrorClass.MISCONFIGURED))

    def _now(self, admission: Admission) -> Mapping[str, Kit]:
        for name, refusal in admission.refused.items():
            _LOG.error("a connector is not served", extra=fields(connector=name, reason=str(refusal)))
        self.served = admission.kits
        return self.served


def _unfit(connector: str, kit: Kit) -> str:
    """Why documents of its mappings do not fit its target; empty where they do, or where nobody can tell now."""
    found = misfits(kit.built, kit.registration.definition)
    return "\n".join(f"connector {connector}, route {record_type}: {sentence}" for record_type, sentence in found)


def _register(connection: db.Connection, admission: Admission) -> None:
    for kit in admission.kits.values():
        lanes.register(connection, kit.registration, actor=DAEMON)
