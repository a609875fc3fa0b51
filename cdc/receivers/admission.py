"""Who may be served, and under which class: an exact one only under a verdict about this very receiver, or a reason.

The decision is pure; :func:`admit` asks the outbox for the verdicts and decides about each connector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cdc.assembly import Kit
from cdc.receivers.probing import verifier_of
from outbox import verdicts
from outbox.db import Connection
from outbox.model import Guarantee, HmsSyncError, Verified
from outbox.verdicts import Standing, server_of


class NotAdmitted(HmsSyncError):
    """The connector may not be served."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The kits that may be served, each under the class in force, and the sentences about the others."""

    kits: Mapping[str, Kit] = field(default_factory=dict)
    refused: Mapping[str, NotAdmitted] = field(default_factory=dict)


def admit(connection: Connection, kits: Iterable[Kit]) -> Admission:
    """What the verdicts of this moment say about each connector."""
    served: dict[str, Kit] = {}
    refused: dict[str, NotAdmitted] = {}
    for kit in kits:
        name = kit.policy.connector
        try:
            served[name] = admitted(kit, standing_of(connection, kit))
        except NotAdmitted as refusal:
            refused[name] = refusal
    return Admission(served, refused)


def standing_of(connection: Connection, kit: Kit) -> Standing | None:
    """The verdict that counts about this kit's receiver, None where there is none."""
    return verdicts.standing(connection, kit.policy.connector, kit.registration.subject)


def admitted(kit: Kit, standing: Standing | None) -> Kit:
    """The kit under the class that it may carry. Raises NotAdmitted."""
    settings, declared = kit.built.settings, kit.declared
    if standing is not None and standing.declared is not declared:
        standing = None  # it was tried for another promise
    if standing is not None and standing.passed:
        found = kit.under(declared, Verified.PASSED)
    elif standing is None and not declared.exact:
        found = kit.under(declared, Verified.NONE_NEEDED)
    elif settings.accept_unverified is not None:
        carries = declared if standing is None else standing.carries
        found = kit.under(carries, Verified.ACCEPTED, settings.accept_unverified)
    else:
        raise NotAdmitted(_refusal(kit, standing))
    _require(found, settings.require)
    return found


def _refusal(kit: Kit, standing: Standing | None) -> str:
    name, accept = kit.policy.connector, "say why you accept it without in its accept_unverified"
    promise = f"connector {name} promises {kit.declared}"
    if standing is not None:
        return (
            f"{promise}, and {server_of(standing.fingerprint)} carries only {standing.carries} by the verdict of "
            f"{standing.at:%Y-%m-%d}: mend the receiver and run `hms-sync verify-receiver {name}`, or {accept}"
        )
    if verifier_of(kit.built) is None:
        return f"{promise}, which cannot be verified for kind {kit.built.settings.kind}: {accept}"
    verify = f"run `hms-sync verify-receiver {name}`"
    return f"{promise} without a verdict of all probes about this url and these options: {verify}, or {accept}"


def _require(kit: Kit, wanted: Guarantee | None) -> None:
    if wanted is not None and not kit.policy.guarantee.at_least(wanted):
        raise NotAdmitted(
            f"connector {kit.policy.connector} carries {kit.policy.guarantee} by its verdict, weaker than the required "
            f"{wanted} (mend the receiver and verify it again, or lower require)"
        )
