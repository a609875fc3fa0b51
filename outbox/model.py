"""The nouns of the courier, shared by every room; imports nothing but the standard library and the decorator.

A *change* is one row of ``outbox.change``. A *delivery* is one change going to one connector.
An *outcome* is what an attempt meant; there are four, because "no answer" is neither yes nor no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID, uuid5

from outbox.nouns import noun

Json: TypeAlias = Any
"""What JSON can say: None, bool, int, Decimal, str, list, dict (numbers never pass through float)."""


class Operation(StrEnum):
    """What happened to the record. ``truncate`` is the delete of one record by TRUNCATE."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"
    READ = "read"

    @property
    def removes(self) -> bool:
        """True when the record is gone after this change."""
        return self in (Operation.DELETE, Operation.TRUNCATE)


class Record(NamedTuple):
    """The name of one application row; order is promised per record and connector."""

    record_type: str
    record_key: str


@noun(frozen=True, slots=True)
class Change:
    """One insert, update, delete, truncate or read of one record, as captured.

    ``before``/``after`` hold column values as PostgreSQL's ``to_jsonb`` writes them (UTC timestamps in
    ISO 8601, bytea as ``\\x`` hex, numbers as int or Decimal); ``after`` is None when the record is gone.
    """

    id: int
    event_id: UUID
    xid: int
    command_id: int
    record_type: str
    record_key: str
    operation: Operation
    before: Mapping[str, Json] | None
    after: Mapping[str, Json] | None
    captured_at: datetime
    actor: str | None = None
    context: Mapping[str, Json] = field(default_factory=dict)
    connector: str | None = None
    schema_version: int = 1
    record: Record = field(init=False, repr=False, compare=False)
    """Made once: it is asked for ten times on its way, and that is felt."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "record", Record(self.record_type, self.record_key))

    @property
    def row(self) -> Mapping[str, Json]:
        """The row that names the record: the new one, or the last one when it is gone."""
        return self.after if self.after is not None else (self.before or {})


class Action(StrEnum):
    """What the platform shall do with the record."""

    UPSERT = "upsert"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FileContent:
    """A content that stays in its file until it is sent: ``name`` is a path below the folder ``root``.

    ``sha256`` is what the row says of it, empty where it says nothing. Before an exchange begins, the courier reads the
    file once and puts here what it found: from then on ``sha256`` and ``size`` name the very bytes that are sent.
    """

    root: str
    name: str
    sha256: str = ""
    size: int = 0

    @property
    def problem(self) -> str | None:
        """Why the name is none of a file below the root; None: it can be one."""
        if "\0" in self.name or not {"", ".", ".."}.isdisjoint(self.name.split("/")):
            return "is not a path below its root such as 2026/ruling.pdf (no / in front, no . and no ..)"
        return None


@noun(frozen=True, slots=True)
class Message:
    """A change in the platform's own format, ready to send.

    ``document`` is the mapped document before encoding; connectors fill URL templates from it.
    ``body`` is empty for a delete whose mapping writes none. ``metadata`` describes the body at platforms that keep
    such lines beside it. ``file`` is there where the content stays in a file; ``body`` is empty then, and only kinds
    that take files are given such a message.
    """

    action: Action
    document: Mapping[str, Json]
    body: bytes = b""
    content_type: str = "application/json"
    metadata: Mapping[str, str] = field(default_factory=dict)
    file: FileContent | None = None


class Guarantee(StrEnum):
    """The class of exactly-once that a connector carries, strongest first (docs/guarantees.md)."""

    EXACT_TX = "EXACT_TX"
    EXACT_CAS = "EXACT_CAS"
    EXACT_WINDOW = "EXACT_WINDOW"
    VERIFY = "VERIFY"
    CONVERGE = "CONVERGE"
    ONCE_OR_ASK = "ONCE_OR_ASK"
    AT_LEAST = "AT_LEAST"

    def at_least(self, minimum: Guarantee) -> bool:
        """True when this class is as strong as ``minimum`` or stronger."""
        order = list(Guarantee)
        return order.index(self) <= order.index(minimum)

    @property
    def exact(self) -> bool:
        """True when the class rests on what the receiver does, so that it is served only under a verdict about it."""
        return self in (Guarantee.EXACT_TX, Guarantee.EXACT_CAS, Guarantee.EXACT_WINDOW)

    @property
    def needs_intent(self) -> bool:
        """True when every single send must be written down durably before its first byte.

        Where a resend with the same key is harmless, the claim of the page is intent enough.
        """
        return self in (Guarantee.VERIFY, Guarantee.ONCE_OR_ASK)

    @property
    def replays_harmlessly(self) -> bool:
        """True when a delivery in doubt may be given up and replayed under a new key without a second effect."""
        return self in (Guarantee.EXACT_CAS, Guarantee.CONVERGE, Guarantee.AT_LEAST)


class Verified(StrEnum):
    """On what the class of a connector rests: a passing verdict, a person's reason, or nothing of the receiver."""

    PASSED = "passed"
    ACCEPTED = "accepted"
    NONE_NEEDED = "none_needed"


class ErrorClass(StrEnum):
    """Why an attempt did not end well, grouped by what has to happen next."""

    NETWORK = "network"  # nothing was sent: DNS, connect, TLS, proxy
    NO_ANSWER = "no_answer"  # sent, then silence: timeout, reset, cut headers
    SERVER = "server"  # 500, 502, 504
    UNAVAILABLE = "unavailable"  # 408, 425, 429, 503
    CREDENTIALS = "credentials"  # 401, 403, client certificate refused
    MISCONFIGURED = "misconfigured"  # 3xx, wrong URL, address not allowed
    CONFLICT = "conflict"  # somebody else changed the object
    REFUSED = "refused"  # the platform does not accept this record: 400, 409, 413, 422
    MAPPING = "mapping"  # our own mapping failed on this record
    INTERNAL = "internal"  # a defect in a connector; the record is kept, the lane goes on
    ALTERED = "altered"  # a resend would have other bytes under the same key
    POISONED = "poisoned"  # the process died each time with this change in hand


@dataclass(frozen=True, slots=True)
class Answer:
    """What is kept of a platform's answer: status code and the first 512 characters, redacted."""

    status: int | None = None
    excerpt: str = ""


@noun(frozen=True, slots=True)
class Applied:
    """The effect is at the platform. ``version`` is the ETag or revision that the next write needs."""

    answer: Answer = Answer()
    external_id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class NotApplied:
    """Certainly no effect; may be tried again. ``platform`` is True when the whole platform is troubled."""

    error_class: ErrorClass
    reason: str
    answer: Answer = Answer()
    retry_after_seconds: float | None = None
    platform: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The platform (or our mapping) said no. ``platform`` True: the connector pauses, the record is not to blame."""

    error_class: ErrorClass
    reason: str
    answer: Answer = Answer()
    platform: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Sent, and nobody can say whether it was applied. Never guessed; the guarantee decides what is next."""

    error_class: ErrorClass
    reason: str
    answer: Answer = Answer()
    retry_after_seconds: float | None = None


Outcome: TypeAlias = Applied | NotApplied | Rejected | Unknown


class DeliveryState(StrEnum):
    """States of a row of ``outbox.delivery``: open work outside its page."""

    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    HELD = "held"
    UNKNOWN = "unknown"
    DEAD = "dead"


class AuditOutcome(StrEnum):
    """What an audit entry says. The settling ones end the life of a (connector, change, generation)."""

    APPLIED = "applied"
    FILTERED = "filtered"
    SUPERSEDED = "superseded"
    DROPPED = "dropped"
    REPLAYED = "replayed"
    # not settling: the delivery's new state, written by the database itself
    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    HELD = "held"
    UNKNOWN = "unknown"
    DEAD = "dead"

    @property
    def settles(self) -> bool:
        return self in SETTLING


SETTLING = frozenset(
    {
        AuditOutcome.APPLIED,
        AuditOutcome.FILTERED,
        AuditOutcome.SUPERSEDED,
        AuditOutcome.DROPPED,
        AuditOutcome.REPLAYED,
    }
)


ERA_BITS = 32
"""The bits of a change id within its era."""


@noun(frozen=True, slots=True)
class RemoteObject:
    """What we know of a record at one platform, as of the change applied last."""

    external_id: str | None = None
    version: str | None = None
    absent: bool = False
    change_id: int = 0
    xid: int = 0
    command_id: int = 0
    content_hash: str | None = None

    def is_newer_than(self, change: Change) -> bool:
        """True when delivering ``change`` would overwrite something newer.

        Ids order the changes of a record, except inside one transaction, where the command id does
        (a trigger of the application may record an inner update before the outer one). After a failover transaction
        ids are drawn again, and change ids begin a new era (``hms-sync rebase``): an equal one there is another.
        """
        if change.xid == self.xid and change.id >> ERA_BITS == self.change_id >> ERA_BITS:
            return (self.command_id, self.change_id) > (change.command_id, change.id)
        return self.change_id > change.id


SUSPECT_AFTER = 3
"""Deaths in a row after which a change is tried alone only: the next death leaves exactly one suspect."""
QUARANTINE_AFTER = 6
"""Deaths in a row, the last three of them alone, after which a change is not tried any more."""


@noun(frozen=True, slots=True)
class Delivery:
    """One attempt to bring one change to one connector."""

    connector: str
    change: Change
    generation: int = 0
    attempt: int = 1
    mapping_version: str = ""
    fence: int | None = None
    """Set when the delivery is a row of ``outbox.delivery`` (state in_flight), else it lives in its page."""
    doubt: bool = False
    """True when an earlier attempt may have been applied: a connector that can must ask before it writes."""
    first_failed_at: datetime | None = None
    deaths: int = 0
    """How many workers in a row have died while this delivery was in flight."""
    request_hash: str | None = None
    """What an earlier attempt sent, where that is known."""

    @property
    def record(self) -> Record:
        return self.change.record

    @property
    def key(self) -> UUID:
        """The key for the receiver: the same on every resend, restart and failover; new with a replay."""
        return uuid5(self.change.event_id, f"{self.connector}:{self.generation}")


class HmsSyncError(Exception):
    """A failure with a sentence for the person who has to act: what, where, how to mend it."""
