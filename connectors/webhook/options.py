"""The options of the ``webhook`` kind, and what they mean in the terms of ``http``."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from connectors.durations import Seconds
from connectors.http.options import Action, HttpOptions, Idempotency, Verify
from connectors.options import Options
from connectors.webhook.signing import SigningSecret

Mode: TypeAlias = Literal["standard", "plain", "structured", "binary", "batch"]
_PLACEHOLDERS = frozenset({"record_type", "action"})


def _type_template(value: str) -> str:
    for _, name, spec, conversion in Formatter().parse(value):
        if name is not None and (name not in _PLACEHOLDERS or spec or conversion):
            raise ValueError("may hold {record_type} and {action} (upsert or delete), and no other placeholder")
    return value


class WebhookOptions(Options):
    """One POST per change to the url itself, signed as Standard Webhooks; webhook-id is the key of the delivery."""

    secrets: Annotated[list[SigningSecret], Field(min_length=1, max_length=8)]
    """What signs, as references: whsec_… (HMAC) or whsk_… (Ed25519); during a rotation the new and the old one."""
    mode: Mode = "standard"
    """`standard`: type, timestamp, record and data; `plain`: the mapped document alone; `structured`, `binary`,
    `batch` (of one event): the content modes of CloudEvents."""
    type: Annotated[str, Field(min_length=1), AfterValidator(_type_template)] = "{record_type}.{action}"
    """The type of the event; {record_type} and {action} (upsert or delete) are filled in."""
    source: Annotated[str, Field(pattern=r"^[!-~]+$")] | None = None
    """CloudEvents: who sends, as a URI reference; absent: /hms-sync/ and the connector's name."""
    window: Seconds | None = None
    """How long the receiver is documented to remember webhook-id and to act once for it; absent: not relied upon."""
    not_applied: frozenset[int] = frozenset({429})
    """Statuses that the receiver documents as "nothing happened, come back later"."""
    resend_in_doubt: bool = False
    """A POST without an answer is sent again, as senders of webhooks mostly do: the receiver may then see it twice, and
    an older one late. Without it a person decides."""
    verify: Verify | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> WebhookOptions:
        if self.resend_in_doubt and self.window is not None:
            raise ValueError(
                "resend_in_doubt is not needed: with a window the same webhook-id is sent again (remove it)"
            )
        return self


def preset(url: str, options: WebhookOptions) -> HttpOptions:
    """A webhook as options of ``http``: whatever happened to the record, it is one more POST to one address."""
    path = "/" if url.endswith("/") else ""
    return HttpOptions(
        create=Action(method="POST", path=path),
        delete=Action(method="POST", path=path),
        idempotency=Idempotency(header="webhook-id", window=options.window),
        statuses={429: "unknown", **dict.fromkeys(options.not_applied, "retry")},
        resend_in_doubt=options.resend_in_doubt,
        verify=options.verify,
    )
