"""The secrets of a webhook in the config: they come from outside, and no message, dump or warning shows one."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from cdc.config import Config, load
from cdc.config.mistakes import ConfigError

CANARY = b64encode(b"canary-of-a-webhook-secret-0").decode()
TEXT = """\
version: 1
capture: {t: {table: public.t, columns: [id]}}
connectors:
  Hook:
    kind: webhook
    url: https://receiver.example/hook
    options: {secrets: ["${NEW}", "OLD"]}
    routes: {t: {mapping: m}}
mappings: {m: {fields: {id: id}}}
"""


def loaded(folder: Path, new: str, old: str = "${NEW}") -> Config:
    (folder / "sync-config.yml").write_text(TEXT.replace("OLD", old))
    return load(folder / "sync-config.yml", environment={"NEW": new})


def test_secrets_from_the_environment_sign_and_are_never_shown(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"whsec_{CANARY}")
    built = config.build("Hook")
    shown = [repr(config), str(config.model), config.model.model_dump_json(), repr(built), repr(config.warnings)]
    assert not [text for text in shown if CANARY in text]
    assert config.warnings == ()


def test_a_secret_that_stands_in_the_file_is_a_warning_at_its_place(tmp_path: Path) -> None:
    said = [str(each) for each in loaded(tmp_path, f"whsec_{CANARY}", f"whsec_{CANARY}").warnings]
    assert len(said) == 1
    assert "connectors.Hook.options.secrets[1]: a secret stands in this file" in said[0]
    assert CANARY not in said[0]


@pytest.mark.parametrize("secret", [f"whpk_{CANARY}", f"whsk_{CANARY}", CANARY])
def test_a_secret_that_cannot_sign_is_a_mistake_that_does_not_show_it(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, secret)
    assert "connectors.Hook.options.secrets[0]" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_renewed_secret_does_not_age_a_verdict(tmp_path: Path) -> None:
    other = b64encode(bytes(32)).decode()
    assert loaded(tmp_path, f"whsec_{CANARY}").subject("Hook") == loaded(tmp_path, f"whsec_{other}").subject("Hook")
