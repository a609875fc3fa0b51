"""The options of the ``http`` kind, and the guarantee that they carry."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, Field, model_validator

from connectors.conditional import Conflict
from connectors.durations import Seconds
from connectors.options import Options
from connectors.templates import HeaderTemplate, PathTemplate, names
from outbox.model import Guarantee, Json

_IDEMPOTENT = frozenset({"PUT", "DELETE"})


def _expression(value: str) -> str:
    try:
        jmespath.compile(value)
    except JMESPathError as error:
        raise ValueError(f"is not a JMESPath expression: {error}") from error
    return value


def _without_places(path: str) -> str:
    if names(path):
        raise ValueError("is the address of a whole batch, and cannot name a {placeholder} of a record")
    return path


def _of_items(value: str) -> str:
    if jmespath.search(value, {"items": [{}]}) is None:
        raise ValueError("is null; make it of items, such as {requests: items}")
    return value


Expression = Annotated[str, AfterValidator(_expression)]
Meaning: TypeAlias = Literal["applied", "retry", "rejected", "unknown", "exists", "gone"]
"""What a status says of the record: ``retry`` certainly nothing happened; ``exists`` to a create: it is there already;
``gone`` to any other: it is not there (any more)."""
Statuses = dict[Annotated[int, Field(ge=200, le=599)], Meaning]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]


class Action(Options):
    """One request that writes."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: PathTemplate
    headers: dict[HeaderName, HeaderTemplate] = Field(default_factory=dict)
    """Headers of this operation, before those of all."""
    body: Expression | None = None
    """A JMESPath expression that makes the JSON body of `document` (what the mapping made), `record_key`, `external_id`
    and `key`; absent: the body that the mapping made."""
    statuses: Statuses = Field(default_factory=dict)
    """What statuses mean to this operation, before what they mean to all."""


class Idempotency(Options):
    """The platform takes a key with every write. ``window``: how long it is documented to remember it."""

    header: HeaderName = "Idempotency-Key"
    window: Seconds | None = None


class Lookup(Options):
    """How to ask what became of a write that got no answer.

    With ``{key}`` in the path it finds the effect of this very delivery; else it finds the record, which is then
    written again by ``update``. ``found`` is a JMESPath expression: the platform's id, or anything but null and false.
    """

    path: PathTemplate
    found: Expression
    quiet: Seconds = 60.0

    @property
    def by_key(self) -> bool:
        return "key" in names(self.path)

    @property
    def at_collection(self) -> bool:
        """True when nothing of the record is in the path itself: 404 then means a wrong URL, not "not there"."""
        return not names(self.path.partition("?")[0])


class Conditional(Options):
    """The platform keeps JSON objects with ETags: each is written only against the version that we know.

    ``create`` (a PUT) names the address; it is changed by the same request and removed by ``delete`` at that address.
    """

    stamp: Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$")]
    """The member of the object that holds our mark, such as `hms_sync` or `data.hms_sync`; the platform must keep it as
    it is (a text of 100 characters)."""
    conflict: Conflict = "ours"
    """Who wins where a third party edited an object of ours, or removed it: `ours` writes it anew, `theirs` rejects the
    delivery, `ask` rejects it until a person replays it, which writes ours, or drops it, which keeps theirs."""
    quiet: Seconds = 60.0
    """How long a request whose answer never came may still arrive. A delete waits for it where one may be under way: a
    late create would bring the object back."""


class Batch(Options):
    """Several records go in one request, and the answer has one result for each.

    Every record stands in it as the operation that it would be alone: `create` (the platform's upsert) or `delete`.
    """

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    path: Annotated[PathTemplate, AfterValidator(_without_places)]
    size: Annotated[int, Field(ge=2, le=500)] = 100
    """So many records at most in one request."""
    item: Expression = "{method: method, path: path, body: body}"
    """What stands for one record: a JMESPath expression over `action` (upsert or delete), `method`, `path` and `body`
    of its operation, `document`, `record_key`, and `key`, which names the delivery."""
    body: Annotated[Expression, AfterValidator(_of_items)] = "items"
    """The whole body, over `items`."""
    results: Expression
    """Where the answer has its list of results."""
    status: Expression = "status"
    """Where a result has its status, which means what it would mean alone."""
    name: Expression = "key"
    """What names a record, over what `item` sees."""
    result_name: Expression | None = None
    """Where a result has that name; absent: the results are documented to stand in the order of the records."""


class Count(Options):
    """A GET that tells how often the platform acted for one record, such as the entries of its journal."""

    path: PathTemplate
    """Names the record by {record_key}, or by a member of ``verify.body``."""
    found: Expression
    """A JMESPath expression on the answer: the number, or the list of which each member is one effect."""


class Verify(Options):
    """How ``hms-sync verify-receiver`` tries the platform: with records of its own, which it removes again."""

    body: dict[str, Json]
    """A record that the platform accepts; in its texts {record_key} stands for the key of the trial record."""
    count: Count | None = None
    """Needed where the platform is declared to remember keys: only itself can tell how often it acted."""
    answers: dict[str, dict[str, Json]] = Field(default_factory=dict)
    """Kinds of answers to try beside success, by any name: the members of the body that provoke each of them."""


class HttpOptions(Options):
    """Resource-shaped REST: which requests create, change and remove a record."""

    create: Action | None = None
    update: Action | None = None
    delete: Action | None = None
    headers: dict[HeaderName, HeaderTemplate] = Field(default_factory=dict)
    external_id: Expression | None = None
    """Where a create's answer holds the platform's id: a JMESPath expression, or ``location`` for that header."""
    idempotency: Idempotency | None = None
    lookup: Lookup | None = None
    conditional: Conditional | None = None
    batch: Batch | None = None
    verify: Verify | None = None
    statuses: Statuses = Field(default_factory=dict)
    """Statuses to which the platform's documentation gives a meaning of its own: `applied`, `retry` (certainly nothing
    happened, come back later), `rejected`, `unknown`, `exists` (to a create: it is there, under the id that we chose),
    `gone` (to another operation: it is not there). Without a word 429 means `retry`, and 404 and 410 mean `gone`."""
    resend_in_doubt: bool = False
    """A write without an answer is sent again, though it cannot be repeated: the platform may then hold it twice, and a
    late copy may overtake a newer one. Without it a person decides."""

    @model_validator(mode="after")
    def _fits_together(self) -> HttpOptions:
        if self.create is None and self.update is None:
            raise ValueError("create or update is needed; an API with one upsert names it as create")
        if self._may_exist() and (self.create is None or self.update is None):
            raise ValueError("a status that means exists needs create and update")
        if self.lookup is not None and not self.lookup.by_key and self.update is None:
            raise ValueError("lookup finds the record, which needs update; or name {key} in lookup.path")
        if self.create is not None and "external_id" in names(self.create.path):
            raise ValueError("create.path cannot name {external_id}, which the platform gives only afterwards")
        if self.conditional is not None:
            self._fits_conditional()
        if self.batch is not None:
            self._fits_batch()
        if self.resend_in_doubt and self.guarantee is not Guarantee.AT_LEAST:
            raise ValueError(f"resend_in_doubt is not needed: these options carry {self.guarantee} (remove it)")
        return self

    def _fits_conditional(self) -> None:
        create, delete = self.create, self.delete
        if create is None or create.method != "PUT" or self.update is not None or "key" in names(create.path):
            raise ValueError("conditional needs create with PUT, at an address without {key}, and no update")
        if delete is not None and (delete.method, delete.path) != ("DELETE", create.path):
            raise ValueError("conditional removes by DELETE at the path of create; correct delete")
        if create.body is not None:
            raise ValueError("conditional writes the object that the mapping made, with its stamp; drop create.body")
        if self.idempotency or self.lookup or self.external_id or self._may_exist():
            raise ValueError(
                "conditional reads the object itself; drop idempotency, lookup, external_id and a status 'exists'"
            )

    def _fits_batch(self) -> None:
        if self.create is None or self.update is not None or any(map(names, self.headers.values())):
            raise ValueError("batch needs create, which is the upsert, no update, and headers without {placeholders}")
        if self.idempotency or self.lookup or self.external_id or self.conditional:
            raise ValueError("a batch asks nothing back; drop idempotency, lookup, external_id and conditional")

    @property
    def meanings(self) -> Statuses:
        """What statuses mean to every operation."""
        return {429: "retry", **self.statuses}

    @property
    def not_applied(self) -> frozenset[int]:
        """Statuses that the platform documents as "nothing happened, come back later"."""
        own = [action.statuses for action in (self.create, self.update, self.delete) if action is not None]
        return frozenset(code for each in (self.meanings, *own) for code, says in each.items() if says == "retry")

    @property
    def guarantee(self) -> Guarantee:
        """The strongest class that these requests can carry."""
        if self.conditional is not None:
            return Guarantee.EXACT_CAS
        if self.idempotency is not None and self.idempotency.window is not None:
            return Guarantee.EXACT_WINDOW
        if self.lookup is not None:
            return Guarantee.VERIFY
        if self._converges():
            return Guarantee.CONVERGE
        return Guarantee.AT_LEAST if self.resend_in_doubt else Guarantee.ONCE_OR_ASK

    def _converges(self) -> bool:
        repeatable = [action.method in _IDEMPOTENT for action in (self.create, self.update) if action is not None]
        if self._may_exist() and self.update is not None:
            return self.update.method in _IDEMPOTENT
        return all(repeatable)

    def _may_exist(self) -> bool:
        """True where a create can be told that the record is there already."""
        own = self.create.statuses if self.create is not None else {}
        return "exists" in {**self.meanings, **own}.values()
