"""The reference of every key, made from the models: the tables of ``docs/config.md`` and the JSON Schema for editors.

``python -m cdc.config.reference docs`` brings both up to date; a test fails where they are not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args

import simplejson
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from cdc.config.models import SyncConfig
from cdc.config.units import duration_text
from connectors.registry import OURS, kinds

BEGIN: Final = "<!-- made by cdc.config.reference -->\n"
END: Final = "<!-- end -->\n"


def tables() -> str:
    """One table per section, in the order of the file; then the options of each kind."""
    return "\n".join([*_section("", SyncConfig), *(_kind(name) for name in OURS)])


def with_tables(page: str) -> str:
    """``page`` with its tables replaced by the present ones."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}{tables()}{END}{rest.split(END)[1]}"


def schema() -> str:
    """The JSON Schema of the file, for editors that complete and check while one types."""
    found = SyncConfig.model_json_schema(schema_generator=_Generator)
    return simplejson.dumps(found, indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Defaults in the form that the file takes."""

    def encode_default(self, dft: Any) -> Any:
        return duration_text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def _kind(name: str) -> str:
    return "\n".join(_section("connectors.NAME.options", kinds()[name].options, f" of kind {name}"))


def _section(path: str, model: type[BaseModel], note: str = "") -> Iterator[str]:
    title = f"### `{path}`{note}" if path else "### The file"
    said = _one_line((model.__doc__ or "").strip().split("\n\n")[0])
    yield f"{title}\n\n{said}\n\n| key | default | meaning |\n|---|---|---|"
    for name, field in model.model_fields.items():
        yield f"| `{field.alias or name}` | {_default(field)} | {_one_line(field.description or '')} |"
    yield ""
    for name, field in model.model_fields.items():
        inner = _model_inside(field.annotation)
        if inner is not None:
            step = f"{name}.NAME" if getattr(field.annotation, "__origin__", None) is dict else name
            yield from _section(f"{path}.{step}".removeprefix("."), inner, note)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel) or value is None or value in ({}, []):
        return ""
    return f"`{_text(value)}`"


def _text(value: Any) -> str:
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, sorted(value))) if isinstance(value, frozenset) else str(value)


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds, if it holds one: ``X``, ``X | None`` or a mapping of names to ``X``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    return _model_inside(arguments[-1]) if arguments else None


def main(folder: str) -> None:
    """Rewrite the tables of ``config.md`` and the schema in ``folder``."""
    page = Path(folder) / "config.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    (Path(folder) / "sync-config.schema.json").write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
