"""Verification of certificates has no switch: not in the config, not in the options of a kind, not in the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import simplejson

from cdc.config.models import Tls
from cdc.config.reference import schema
from connectors.registry import kinds
from outbox.model import Json

ROOT = Path(__file__).parents[2]
SWITCH = re.compile(
    r"insecure|(skip|no|disable|ignore|without)_?(tls|ssl|cert|verif|check)|check_?hostname|verify_?(tls|ssl|cert|host|peer)"
    r"|(tls|ssl|cert|host|peer)_?verif|trust_?all|allow_?(invalid|self)|min(imum)?_?(tls|ssl|version)",
    re.IGNORECASE,
)
IN_CODE = re.compile(
    r"CERT_NONE|CERT_OPTIONAL|verify=False|SSL_VERIFY(PEER|HOST), 0|check_hostname = False|_create_unverified_context"
)


def keys_of(node: Json) -> Iterator[str]:
    """The names of all properties that a schema allows."""
    if isinstance(node, dict):
        yield from node.get("properties", {})
        for value in node.values():
            yield from keys_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys_of(value)


def test_no_key_of_the_config_turns_verification_off() -> None:
    schemas = [simplejson.loads(schema()), *(kind.options.model_json_schema() for kind in kinds().values())]
    found = {key for each in schemas for key in keys_of(each)}
    assert {"tls", "ca", "pin", "conditional"} <= found
    assert [key for key in found if SWITCH.search(key)] == []


def test_the_section_tls_holds_nothing_but_files_and_pins() -> None:
    assert set(Tls.model_fields) == {"ca", "extra_ca", "cert", "key", "pin"}


def test_no_line_of_ours_turns_verification_off() -> None:
    rooms = ("cdc", "connectors", "hms_sync", "outbox", "transformers")
    sources = [source for room in rooms for source in (ROOT / room).rglob("*.py")]
    assert len(sources) > 100
    assert [source.name for source in sources if IN_CODE.search(source.read_text())] == []
