"""Every example is a config without a mistake and without a warning, once its environment is there."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

import pytest

from cdc.assembly import assemble
from cdc.config import load

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/sync-config.yml"))
PARTICULAR = {
    "HMS_DSN": "postgresql://hms_sync@127.0.0.1/hms",
    "HOOK_SECRET": "whsec_" + b64encode(bytes(32)).decode(),
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_can_be_used_as_it_is(path: Path) -> None:
    environment = {name: PARTICULAR.get(name, "example") for name in re.findall(r"\$\{([A-Z_]+)", path.read_text())}
    config = load(path, environment=environment)
    assert [str(warning) for warning in config.warnings] == []
    assert list(assemble(config)) == list(config.connectors)
