"""One request that writes, made of an operation of the options and the values of a delivery."""

from __future__ import annotations

from collections.abc import Mapping

import jmespath
import simplejson
from jmespath.exceptions import JMESPathError

from connectors.http.options import Action, HttpOptions
from connectors.templates import Unfillable, Values
from outbox.model import Json


def headers_of(options: HttpOptions, values: Values) -> dict[str, str]:
    """The headers of all requests, filled."""
    return _filled(options.headers, values)


def headers_to_write(options: HttpOptions, action: Action, values: Values, body: bytes) -> dict[str, str]:
    """Those of all requests, the content type, and those of the operation, the later ones before the earlier."""
    content_type = "application/json" if action.body is not None else values.message.content_type
    typed = {"Content-Type": content_type} if body else {}
    own = _filled(action.headers, values)
    return {**headers_of(options, values), **({} if _has_content_type(own) else typed), **own}


def body_of(action: Action, values: Values) -> bytes:
    """What the operation's expression makes of the delivery, or the body that the mapping made."""
    if action.body is None:
        return values.message.body
    return encoded(evaluated(action.body, scope(values), "body"))


def scope(values: Values) -> dict[str, Json]:
    """What an expression of an operation sees."""
    delivery = values.delivery
    return {
        "document": values.message.document,
        "record_key": delivery.change.record_key,
        "external_id": values.external_id,
        "key": str(delivery.key),
    }


def evaluated(expression: str, seen: Mapping[str, Json], name: str) -> Json:
    """The value of an expression of the options. Raises Unfillable where the record gives none."""
    try:
        made = jmespath.search(expression, seen)
    except JMESPathError as error:
        raise Unfillable(f"the {name} of this operation cannot be made of this record: {error}") from None
    if made is None:
        raise Unfillable(f"the {name} of this operation is null for this record")
    return made


def encoded(document: Json) -> bytes:
    return simplejson.dumps(document, use_decimal=True, ensure_ascii=False, separators=(",", ":")).encode()


def _filled(templates: Mapping[str, str], values: Values) -> dict[str, str]:
    return {name: values.header(template) for name, template in templates.items()}


def _has_content_type(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "content-type" for name in headers)
