"""The ``caldav`` kind: one calendar object per record, written only against the version that we know (RFC 4791)."""

from __future__ import annotations

from connectors.answers import answer, classify
from connectors.conditional import ConditionalWrite, Conflict, Manner, Target, stamped
from connectors.durations import Seconds
from connectors.exchange import Exchange, HttpResponse
from connectors.options import Options
from connectors.stamps import IN_EVENTS
from connectors.templates import record_name
from outbox.model import Delivery, ErrorClass, Guarantee, Message, Outcome, Record, Rejected, RemoteObject

_CALDAV = b"urn:ietf:params:xml:ns:caldav"


class CalDavOptions(Options):
    """One calendar object per record, in the calendar that the url names."""

    conflict: Conflict = "ours"
    """Who wins where a third party edited an entry of ours, or removed it: `ours` writes it anew, `theirs` rejects the
    delivery, `ask` rejects it until a person replays it, which writes ours, or drops it, which keeps theirs."""
    quiet: Seconds = 60.0
    """How long a request whose answer never came may still arrive. A delete waits for it where one may be under way: a
    late create would bring the entry back."""
    not_applied: frozenset[int] = frozenset({429})


class CalDavConnector:
    """Delivers to one calendar collection, ``url``."""

    guarantee = Guarantee.EXACT_CAS
    window_seconds: float | None = None

    def __init__(self, url: str, options: CalDavOptions) -> None:
        self.quiet_seconds = options.quiet
        self._collection = url.rstrip("/")
        self._options = options
        self._manner = Manner(options.conflict, self._classify)

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        name = resource_name(delivery.record)
        resource = stamped(delivery, message, IN_EVENTS, "text/calendar", Target(f"{self._collection}/{name}", name))
        if isinstance(resource, Rejected):
            return resource
        return (yield from ConditionalWrite(self._manner, resource, delivery, message.action, remote).exchange())

    def _classify(self, response: HttpResponse) -> Outcome:
        """CalDAV refuses single objects with 403 and 409 too; its preconditions are named in the answer."""
        if response.status in (403, 409) and _CALDAV in response.body:
            taken = b"no-uid-conflict" in response.body
            error_class = ErrorClass.CONFLICT if taken else ErrorClass.REFUSED
            reason = "its UID is used by another entry" if taken else "it does not meet a precondition of the calendar"
            return Rejected(error_class, f"the calendar refuses the entry: {reason}", answer(response))
        if response.status == 409:
            reason = "there is no calendar collection at the url; create it or correct the url"
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        return classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=True)


def resource_name(record: Record) -> str:
    """The file name of a record in its collection."""
    return f"{record_name(record)}.ics"
