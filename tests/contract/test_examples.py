"""Every example is a config without a mistake and without a warning, and is run as an integrator would run it."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

import pytest

from cdc.assembly import assemble
from cdc.config import load
from tests.examples.play import EXAMPLES, Stage, copied, play
from tests.examples.scenes import SCENES
from tests.fixtures.postgres import MakeDb
from tests.pki import Pki

PAGE = EXAMPLES.parent / "docs" / "examples.md"
ROWS = dict(
    re.findall(r"^\| \[`([\w/-]+)`\]\(\.\./examples/\1/sync-config\.yml\) \|(.*)$", PAGE.read_text(), re.MULTILINE)
)
CONFIGS = sorted(EXAMPLES.rglob("sync-config.yml"))
PARTICULAR = {
    "HMS_DSN": "postgresql://hms_sync@127.0.0.1/hms",
    "HOOK_SECRET": "whsec_" + b64encode(bytes(32)).decode(),
}
SHOWN = re.compile(r"\$\{([A-Z_]+)\}\S*\s+# ([^\s,]+)")
"""A variable, and beside it a value as an example."""


def example(config: Path) -> str:
    return str(config.parent.relative_to(EXAMPLES))


def test_every_example_is_run_and_listed() -> None:
    assert sorted(SCENES) == sorted(map(example, CONFIGS)) == sorted(ROWS)
    assert {folder.name for folder in EXAMPLES.iterdir()} == {example(config).split("/")[0] for config in CONFIGS}


@pytest.mark.parametrize("name", sorted(set(SCENES) - {"plugins/carddav"}))  # whose kind is known where it is installed
def test_an_example_can_be_used_with_the_values_that_it_shows(name: str, tmp_path: Path, pki: Pki) -> None:
    folder = copied(name, tmp_path)
    text = (folder / "sync-config.yml").read_text()
    certificate = pki.client.read_bytes()  # which is its own authority here
    for file, content in [
        *((file, certificate) for file in re.findall(r": ([\w/-]+\.pem)", text)),
        *((f"secrets/{secret}", b"example") for secret in re.findall(r"\$\{(?:file|cred):([\w-]+)\}", text)),
    ]:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).touch(mode=0o600)
        (folder / file).write_bytes(content)
    needed = set(re.findall(r"\$\{([A-Z_]+)\}", text))
    environment = dict.fromkeys(needed, "example") | dict(SHOWN.findall(text)) | PARTICULAR
    environment["CREDENTIALS_DIRECTORY"] = str(folder / "secrets")
    config = load(folder / "sync-config.yml", environment=environment)
    assert [str(warning) for warning in config.warnings] == []
    kits = assemble(config)
    assert list(kits) == list(config.connectors)
    told = {str(kit.declared) for kit in kits.values()} | {settings.kind for settings in config.connectors.values()}
    assert (told | needed) - {"HMS_DSN"} <= set(re.findall(r"`(\w+)`", ROWS[name])), "docs/examples.md"


@pytest.mark.parametrize("name", sorted(SCENES))
def test_an_example_brings_rows_to_its_platform(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, make_db: MakeDb
) -> None:
    """Its files as they are, the commands of docs/examples.md, the daemon's own process; looked at from the outside."""
    servers = tmp_path / "servers"
    servers.mkdir()
    stage = Stage(request, copied(name, tmp_path), servers)
    with SCENES[name](stage) as scene:
        connectors = re.findall(r"^  ([A-Z]\w+):$", (stage.folder / "sync-config.yml").read_text(), re.MULTILINE)
        assert set(scene.looks) == set(connectors)
        play(stage.folder, scene, scene.dsn or make_db(empty=True))
