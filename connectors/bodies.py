"""A mapped body as a member of a JSON object that tells more about it, as CloudEvents define it."""

from __future__ import annotations

from base64 import b64encode

from outbox import exact_json
from outbox.model import Json


class NotJson(Exception):
    """The body is not the JSON that its content type says."""

    def __init__(self) -> None:
        super().__init__("the mapping wrote a body that is not the JSON which its content type says")


def embedded(content_type: str, body: bytes) -> dict[str, Json]:
    """``data``: JSON as it is, else a text; ``data_base64`` for other bytes; nothing for no body. Raises NotJson."""
    if not body:
        return {}
    if _is_json(content_type):
        return {"data": _parsed(body)}
    try:
        return {"data": body.decode()}
    except UnicodeDecodeError:
        return {"data_base64": b64encode(body).decode()}


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _parsed(body: bytes) -> Json:
    try:
        return exact_json.decode(body)
    except (*exact_json.MALFORMED, RecursionError):
        raise NotJson from None
