"""Every mistake is told with its file, line, path and one sentence; all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cdc.config import ConfigError, load

DATA = Path(__file__).parents[1] / "data"
VALID = (DATA / "small-config.yml").read_text()


@dataclass(frozen=True)
class Broken:
    """One edit of the valid config, and what is said about it (after the name of the file)."""

    name: str
    old: str
    new: str
    said: list[str]


BROKEN = [Broken(**case) for case in yaml.safe_load((DATA / "broken-configs.yml").read_text())]


def complaint(text: str, folder: Path) -> ConfigError:
    (folder / "sync-config.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(folder / "sync-config.yml", environment={})
    return caught.value


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_mistake_is_told_with_line_path_and_cure(
    case: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text('{"type":\n "object",}')
    Path("wrong.json").write_text('{"type": "objekt"}')
    assert VALID.count(case.old) >= 1
    Path("sync-config.yml").write_text(VALID.replace(case.old, case.new, 1))
    with pytest.raises(ConfigError) as caught:
        load(Path("sync-config.yml"), environment={})
    said = [line.replace("{folder}", str(tmp_path)) for line in case.said]
    assert str(caught.value).splitlines() == [f"sync-config.yml:{line}" for line in said]


def test_the_table_is_long_enough() -> None:
    assert len({case.name for case in BROKEN}) == len(BROKEN) >= 60


DATABASE = """
    kind: sql
    url: postgresql://db.example/court
    options: {table: court.hearing, key: [id]}
"""


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        (
            "auth: {bearer: abc}",
            "",
            "14: connectors.Scheduler.auth: kind sql takes a user and a password (write basic)",
        ),
        ("proxy: http://p:1", "", "14: connectors.Scheduler.proxy: kind sql speaks no HTTP (remove proxy)"),
        ("bind: wg0", "", "14: connectors.Scheduler.bind: kind sql speaks no HTTP (remove bind)"),
        (
            "tls: {extra_ca: sync-config.yml}",
            "",
            "14: connectors.Scheduler.tls.extra_ca: kind sql takes no extra_ca (write ca",
        ),
        ("", "sqlite:///court.db", "10: connectors.Scheduler: sqlite:///court.db does not name a file from the root"),
        ("", "postgresql://db.example", "10: connectors.Scheduler: postgresql://db.example does not name one database"),
        (
            "",
            "postgresql://db.example/court?sslmode=disable",
            "10: connectors.Scheduler: postgresql://db.example/court?s",
        ),
    ],
)
def test_a_connector_to_a_database_takes_what_a_database_knows(
    line: str, instead: str, said: str, tmp_path: Path
) -> None:
    database = DATABASE.replace("postgresql://db.example/court", instead) if instead else DATABASE
    old = VALID[VALID.index("\n    kind: scheduler") : VALID.index("    routes:")]
    text = VALID.replace(old, f"{database}    {line}\n", 1)
    assert str(complaint(text, tmp_path)).startswith(f"{tmp_path}/sync-config.yml:{said}")


def test_the_config_that_the_table_breaks_is_valid(tmp_path: Path) -> None:
    (tmp_path / "sync-config.yml").write_text(VALID)
    assert list(load(tmp_path / "sync-config.yml", environment={}).connectors) == ["Scheduler"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = VALID.replace("kind: scheduler", "kind: schedular").replace("key: [id]", "key: id")
    text = text.replace("mapping: hearing", "mapping: haering").replace("lease: 30s", "lease: 30")
    error = complaint(text.replace("abc-def", "'${NO_TOKEN}'"), tmp_path)
    assert [(mistake.line, mistake.path) for mistake in error.mistakes] == [
        (7, "capture.hearing.key"),
        (11, "connectors.Scheduler.kind"),
        (13, "connectors.Scheduler.auth.bearer"),
        (16, "connectors.Scheduler.routes.hearing.mapping"),
        (22, "daemon.lease"),
    ]


def test_a_broken_entry_is_not_told_again_by_those_who_name_it(tmp_path: Path) -> None:
    error = complaint(VALID.replace("  hearing:\n    fields: {id: id, title: title}", "  hearing: 1"), tmp_path)
    assert [mistake.path for mistake in error.mistakes] == ["mappings.hearing"]


def test_options_are_judged_by_the_model_of_their_kind(tmp_path: Path) -> None:
    error = complaint(VALID.replace("    auth:", "    options: {no_such_option: 1}\n    auth:"), tmp_path)
    assert [(mistake.line, mistake.path) for mistake in error.mistakes] == [
        (13, "connectors.Scheduler.options.no_such_option")
    ]
    assert error.mistakes[0].sentence.startswith("is not a known key (")


def test_keys_with_dots_are_found_in_mappings(tmp_path: Path) -> None:
    text = VALID.replace("fields: {id: id, title: title}", "fields:\n      a.b: id\n      a.b.c: {from: titel}")
    error = complaint(text, tmp_path)
    assert [(mistake.line, mistake.path) for mistake in error.mistakes] == [(22, "mappings.hearing.fields.a.b.c.from")]


@pytest.mark.parametrize("text", ["", "[]", "text", "# nothing"])
def test_what_is_no_config_at_all_is_refused(text: str, tmp_path: Path) -> None:
    assert "is not a config (it begins with the line 'version: 1')" in str(complaint(text, tmp_path))


def test_three_deadlines_are_not_enough_where_a_send_would_find_no_room(tmp_path: Path) -> None:
    text = VALID.replace("lease: 30s", "lease: 5s").replace("    auth:", "    deadline: 1500ms\n    auth:")
    assert "a deadline of 1500ms needs a lease of 5250ms, and daemon.lease is 5s" in str(complaint(text, tmp_path))
