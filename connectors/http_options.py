"""The options of the ``http`` kind, and the guarantee that they carry."""

from __future__ import annotations

from typing import Annotated, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from connectors.durations import Seconds
from connectors.templates import HeaderTemplate, PathTemplate, names
from outbox.model import Guarantee

_IDEMPOTENT = frozenset({"PUT", "DELETE"})


def _expression(value: str) -> str:
    try:
        jmespath.compile(value)
    except JMESPathError as error:
        raise ValueError(f"is not a JMESPath expression: {error}") from error
    return value


Expression = Annotated[str, AfterValidator(_expression)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]


class Options(BaseModel):
    """Base of all options: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Action(Options):
    """One request that writes."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: PathTemplate


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
    conflict_means_exists: bool = False
    """409 to a create means that the record is there already (under the id that we chose)."""
    not_applied: frozenset[int] = frozenset({429})
    """Statuses that the platform documents as "nothing happened, come back later"."""
    resend_in_doubt: bool = False
    """A write without an answer is sent again, though it cannot be repeated: the platform may then hold it twice, and a
    late copy may overtake a newer one. Without it a person decides."""

    @model_validator(mode="after")
    def _fits_together(self) -> HttpOptions:
        if self.create is None and self.update is None:
            raise ValueError("create or update is needed; an API with one upsert names it as create")
        if self.conflict_means_exists and (self.create is None or self.update is None):
            raise ValueError("conflict_means_exists needs create and update")
        if self.lookup is not None and not self.lookup.by_key and self.update is None:
            raise ValueError("lookup finds the record, which needs update; or name {key} in lookup.path")
        if self.create is not None and "external_id" in names(self.create.path):
            raise ValueError("create.path cannot name {external_id}, which the platform gives only afterwards")
        if self.resend_in_doubt and self.guarantee is not Guarantee.AT_LEAST:
            raise ValueError(f"resend_in_doubt is not needed: these options carry {self.guarantee} (remove it)")
        return self

    @property
    def guarantee(self) -> Guarantee:
        """The strongest class that these requests can carry."""
        if self.idempotency is not None and self.idempotency.window is not None:
            return Guarantee.EXACT_WINDOW
        if self.lookup is not None:
            return Guarantee.VERIFY
        if self._converges():
            return Guarantee.CONVERGE
        return Guarantee.AT_LEAST if self.resend_in_doubt else Guarantee.ONCE_OR_ASK

    def _converges(self) -> bool:
        repeatable = [action.method in _IDEMPOTENT for action in (self.create, self.update) if action is not None]
        if self.conflict_means_exists and self.update is not None:
            return self.update.method in _IDEMPOTENT
        return all(repeatable)
