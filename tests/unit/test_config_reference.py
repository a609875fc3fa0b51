"""The reference of the config is what the models say."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import simplejson
import yaml

from cdc.config import reference

DOCS = Path(__file__).parents[2] / "docs"
DATA = Path(__file__).parents[1] / "data"
MEND = "run: python -m cdc.config.reference docs"


def test_the_tables_of_the_page_are_up_to_date() -> None:
    page = (DOCS / "config.md").read_text()
    assert reference.with_tables(page) == page, MEND


def test_the_schema_is_up_to_date() -> None:
    assert (DOCS / "sync-config.schema.json").read_text() == reference.schema(), MEND


def test_every_key_of_the_file_has_a_meaning() -> None:
    ours = reference.tables().split("### `connectors.NAME.options`")[0]
    assert re.findall(r"^\| `\w+` \|.*\| *\|$", ours, re.MULTILINE) == []


def test_the_command_rewrites_an_outdated_page(tmp_path: Path) -> None:
    (tmp_path / "config.md").write_text(f"before\n{reference.BEGIN}old\n{reference.END}after\n")
    reference.main(str(tmp_path))
    page = (tmp_path / "config.md").read_text()
    assert page == f"before\n{reference.BEGIN}{reference.tables()}{reference.END}after\n"
    assert simplejson.loads((tmp_path / "sync-config.schema.json").read_text())["title"] == "SyncConfig"


@pytest.mark.parametrize("name", ["sync-config.yml", "small-config.yml"])
def test_valid_configs_satisfy_the_schema(name: str) -> None:
    class Words(yaml.SafeLoader):
        """Like our reader: ``on`` is a word."""

    Words.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":bool")]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    data = yaml.load((DATA / name).read_text(), Loader=Words)
    jsonschema.validate(data, simplejson.loads(reference.schema()))


def test_the_schema_refuses_an_unknown_key() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "wbe": {}}, simplejson.loads(reference.schema()))
