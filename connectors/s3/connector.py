"""The ``s3`` kind: one object per record, written only against the version that we know."""

from __future__ import annotations

from connectors.answers import answer, classify
from connectors.conditional import ConditionalWrite, Manner
from connectors.exchange import Exchange, HttpResponse
from connectors.s3.object import S3Object
from connectors.s3.options import S3Options
from connectors.stamps import Stamp
from connectors.templates import Unfillable, Values
from outbox.model import Delivery, ErrorClass, Guarantee, Message, Outcome, Rejected, RemoteObject


class S3Connector:
    """Delivers to one bucket, or to what is below one prefix of it."""

    guarantee = Guarantee.EXACT_CAS
    window_seconds: float | None = None

    def __init__(self, url: str, options: S3Options) -> None:
        self.quiet_seconds = options.quiet
        self._base = url.rstrip("/")
        self._options = options
        self._manner = Manner(options.conflict, self._classify)

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        """The requests of one delivery; what the record cannot fill is refused before anything is sent."""
        known = remote.external_id if remote is not None and not remote.absent else None
        try:
            path = known or Values.of(delivery, message, remote).path(self._options.path).replace("%2F", "/")
        except Unfillable as problem:
            return Rejected(ErrorClass.MAPPING, str(problem))
        place = S3Object(self._base + path, path, message, Stamp.of(delivery))
        return (yield from ConditionalWrite(self._manner, place, delivery, message.action, remote).exchange())

    def _classify(self, response: HttpResponse) -> Outcome:
        if response.status == 400 and b"AuthorizationHeaderMalformed" in response.body:
            reason = "the platform refuses how the request was signed (HTTP 400); check auth.aws.region"
            return Rejected(ErrorClass.CREDENTIALS, reason, answer(response), platform=True)
        return classify(response, not_applied=self._options.not_applied, missing_is_wrong_url=True)
