"""pydantic's errors as sentences of our own: what is wrong, how to mend it, and never the value itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cdc.config.document import Document
from cdc.config.mistakes import KeyPath, Mistake, did_you_mean

_SENTENCES: Final = {
    "string_type": "must be text (put the value in quotes)",
    "path_type": "must be text (put the value in quotes)",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must hold keys (write lines 'key: value' below it)",
    "model_attributes_type": "must hold keys (write lines 'key: value' below it)",
    "dict_type": "must hold keys (write lines 'key: value' below it)",
    "list_type": "must be a list (write [a, b])",
    "too_short": "must not be empty (add an entry, or remove the key)",
    "string_too_short": "must not be empty (write a value, or remove the key)",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
}


def explain(
    document: Document, error: ValidationError, model: type[BaseModel], prefix: KeyPath = ()
) -> Iterator[Mistake]:
    """One mistake per error of ``model``, whose data stands at ``prefix`` in the document."""
    for detail in error.errors(include_url=False, include_input=False):
        path = tuple(part for part in detail["loc"] if part != "[key]")
        yield document.mistake((*prefix, *path), _sentence(detail, model, path, document.at((*prefix, *path))))


def _sentence(detail: ErrorDetails, model: type[BaseModel], path: KeyPath, value: object) -> str:
    kind = detail["type"]
    if kind == "missing":
        field = _fields(model, path[:-1]).get(str(path[-1]))
        meaning = (field.description or "").rstrip(".") if field else ""
        return f"is missing (add it: {meaning})" if meaning else "is missing (add it)"
    if kind == "extra_forbidden":
        return f"is not a known key ({did_you_mean(str(path[-1]), _names(_fields(model, path[:-1])))})"
    if value is None and kind.endswith("_type"):
        return "has no value (write one, or remove the key)"
    template = _SENTENCES.get(kind)
    if template is None:
        return detail["msg"][:1].lower() + detail["msg"][1:]
    return template.format(**detail.get("ctx", {}))


def _names(fields: Mapping[str, FieldInfo]) -> list[str]:
    return [field.alias or name for name, field in fields.items()]


def _fields(model: type[BaseModel], path: KeyPath) -> Mapping[str, FieldInfo]:
    """The fields of the model that stands at ``path`` below ``model``."""
    kind: Any = model
    for part in path:
        if _is_model(kind):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            kind = fields[str(part)].annotation if str(part) in fields else None
            kind = _without_none(kind)
        else:
            kind = _without_none(get_args(kind)[-1]) if get_args(kind) else None
    return cast("type[BaseModel]", kind).model_fields if _is_model(kind) else {}


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel)


def _without_none(kind: Any) -> Any:
    """``X`` for ``X | None``, else ``kind`` itself; the key type of a mapping is skipped by the caller."""
    arguments = [argument for argument in get_args(kind) if argument is not type(None)]
    return arguments[0] if type(None) in get_args(kind) and len(arguments) == 1 else kind
