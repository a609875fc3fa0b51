"""A valid config: what it gives, what it warns of, and that it never tells a secret."""

from __future__ import annotations

import sys
import types
from datetime import timedelta
from pathlib import Path

import pytest
import simplejson

from cdc.assembly import limits_of
from cdc.config import Config, ConfigError, load
from cdc.lane.routing import compile_routes
from connectors.channel import Basic, Bearer, HeaderKey
from outbox.flow import Limits
from outbox.model import Guarantee

DATA = Path(__file__).parents[1] / "data"
SMALL = (DATA / "small-config.yml").read_text()
ENVIRONMENT = {"HMS_DSN": "postgresql://app:dsn-canary@db.example/hms", "SCHEDULER_TOKEN": "token-canary"}


def small(folder: Path, old: str = "", new: str = "", environment: dict[str, str] | None = None) -> Config:
    file = folder / "sync-config.yml"
    assert old in SMALL
    file.write_text(SMALL.replace(old, new, 1) if old else SMALL)
    return load(file, environment=environment or {})


@pytest.fixture
def example() -> Config:
    return load(DATA / "sync-config.yml", environment=ENVIRONMENT)


def test_the_example_says_what_the_daemon_needs(example: Config) -> None:
    scheduler = example.connectors["PublicHearingScheduler"]
    assert example.database.dsn is not None
    assert example.database.dsn.get_secret_value() == ENVIRONMENT["HMS_DSN"]
    assert example.database.directory == DATA / ".hms-sync"
    assert example.capture["hearing_schedule"].max_bytes == 16 * 1024 * 1024
    assert (scheduler.deadline, scheduler.retry.max) == (timedelta(seconds=10), timedelta(minutes=10))
    assert (example.daemon.lease, example.daemon.retention) == (timedelta(seconds=30), timedelta(days=30))
    assert example.web.listen == "127.0.0.1:9187"
    assert example.warnings == ()


def test_the_example_holds_every_key_of_the_reference(example: Config) -> None:
    rare = {"secrets_dir", "tls"}  # they name files
    sections = [example.model, example.daemon, example.web, example.database]
    connectors = list(example.connectors.values())
    used = set().union(*(each.model_fields_set for each in (*sections, *connectors, *example.capture.values())))
    known = set().union(*(set(type(each).model_fields) for each in (*sections, *connectors, *example.capture.values())))
    assert known - used == rare


def test_the_platforms_of_the_example_are_built(example: Config) -> None:
    scheduler, archive = example.build("PublicHearingScheduler"), example.build("Archive")
    assert scheduler.connector.guarantee is Guarantee.CONVERGE
    assert isinstance(scheduler.channel.auth, Bearer)
    assert [str(network) for network in scheduler.channel.allow_addresses] == ["127.0.0.0/8"]
    assert (scheduler.channel.hosts, scheduler.channel.bind) == (("127.0.0.1",), None)
    assert archive.channel.hosts == ("archive.example", "*.archive.example")
    assert archive.channel.bind == "wg0"
    assert isinstance(archive.channel.auth, Basic)
    assert archive.channel.proxy is not None


def test_a_credential_in_a_header_of_its_own(tmp_path: Path) -> None:
    config = small(tmp_path, "auth: {bearer: abc-def}", "auth: {header: {name: X-Api-Key, value: abc}}")
    assert isinstance(config.build("Scheduler").channel.auth, HeaderKey)


def test_a_config_without_dsn_names_the_folder_of_the_embedded_database(tmp_path: Path) -> None:
    config = small(tmp_path, 'dsn: "postgresql://app@db.example/hms"', "directory: data")
    assert (config.database.dsn, config.database.directory) == (None, tmp_path / "data")


def test_a_config_without_sections_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("version: 1\n")
    config = load(tmp_path / "c.yml", environment={})
    assert (config.database.directory, config.web.listen) == (tmp_path / ".hms-sync", "127.0.0.1:9187")


# ---------------------------------------------------------------- definitions and versions


def test_the_definition_compiles_to_the_routes(example: Config) -> None:
    routes = compile_routes(example.definition("Archive"))
    assert routes.record_types == frozenset({"case_file", "hearing_schedule"})


def test_the_definition_is_plain_json_with_its_schema_inside(example: Config) -> None:
    definition = example.definition("PublicHearingScheduler")
    assert simplejson.loads(simplejson.dumps(definition, use_decimal=True), use_decimal=True) == definition
    mapping = simplejson.loads(definition["routes"]["hearing_schedule"]["mapping"])
    assert mapping["schema"]["required"] == ["id", "title", "starts_at", "ends_at"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fields: {id: id, title: title}", "fields: {title: title, id: id}"),
        ("fields: {id: id, title: title}", "fields: {id: id, title: title}\n    on: {delete: skip}"),
        ("status == 'scheduled'", "status == 'published'"),
        ("  hearing:\n    fields", "  unused: {fields: {id: id}}\n  hearing:\n    output: json\n    fields"),
    ],
)
def test_whatever_may_change_a_message_changes_the_version(tmp_path: Path, old: str, new: str) -> None:
    assert small(tmp_path).mapping_version("Scheduler") != small(tmp_path, old, new).mapping_version("Scheduler")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    kind: scheduler", "    lanes: 4\n    concurrency: 2\n    deadline: 5s\n    kind: scheduler"),
        (
            "    kind: scheduler",
            "    rate: 5/s\n    burst: 2\n    max_in_flight: 2\n    fuse: off\n    kind: scheduler",
        ),
        ("https://platform.example", "https://other.example"),
        ("abc-def", "another-token"),
        ("lease: 30s", "lease: 60s"),
        ("mappings:\n", "mappings:\n  unused: {fields: {id: id}}\n"),
        ("version: 1", "# a comment\nversion: 1"),
    ],
)
def test_what_cannot_change_a_message_keeps_the_version(tmp_path: Path, old: str, new: str) -> None:
    assert small(tmp_path).mapping_version("Scheduler") == small(tmp_path, old, new).mapping_version("Scheduler")


@pytest.mark.parametrize(
    ("written", "per_second", "shown"),
    [
        ("50/s", 50.0, "50/s"),
        ("600/m", 10.0, "10/s"),
        ("30/m", 0.5, "30/m"),
        ("90/h", 0.025, "1.5/m"),
        ("1/h", 1 / 3600, "1/h"),
    ],
)
def test_a_rate_has_a_time_and_is_shown_in_one(tmp_path: Path, written: str, per_second: float, shown: str) -> None:
    scheduler = small(tmp_path, "    kind", f"    rate: {written}\n    kind").connectors["Scheduler"]
    assert scheduler.rate == pytest.approx(per_second)
    assert scheduler.model_dump(mode="json")["rate"] == shown


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ("", Limits()),
        ("rate: 50/s", Limits(50.0, 25.0)),
        ("rate: 30/m", Limits(0.5, 1.0)),
        ("rate: 50/s\n    burst: 3\n    max_in_flight: 9", Limits(50.0, 3.0, 9)),
    ],
)
def test_the_limits_of_a_connector(tmp_path: Path, written: str, limits: Limits) -> None:
    assert limits_of(small(tmp_path, "    kind", f"    {written}\n    kind").connectors["Scheduler"]) == limits


@pytest.mark.parametrize(("written", "fuse"), [("", 50), ("fuse: 200", 200), ("fuse: off", None)])
def test_the_fuse_is_there_unless_it_is_switched_off(tmp_path: Path, written: str, fuse: int | None) -> None:
    assert small(tmp_path, "    kind", f"    {written}\n    kind").connectors["Scheduler"].fuse == fuse


def test_a_changed_schema_file_changes_the_version(tmp_path: Path) -> None:
    versions = set()
    for text in ('{"type": "object"}', '{"type": ["object"]}'):
        (tmp_path / "s.json").write_text(text)
        config = small(tmp_path, "fields: {id: id, title: title}", "fields: {id: id}\n    schema: s.json")
        versions.add(config.mapping_version("Scheduler"))
    assert len(versions) == 2


def test_changed_code_of_a_python_mapping_changes_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    versions = set()
    for title in ("one", "two"):
        (tmp_path / f"mapping_{title}.py").write_text(f"def document(change):\n    return {{'title': '{title}'}}\n")
        module = types.ModuleType("hms_mapping_under_test")
        code = compile((tmp_path / f"mapping_{title}.py").read_text(), str(tmp_path / f"mapping_{title}.py"), "exec")
        exec(code, module.__dict__)
        module.__file__ = str(tmp_path / f"mapping_{title}.py")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        config = small(tmp_path, "fields: {id: id, title: title}", "python: hms_mapping_under_test:document")
        versions.add(config.mapping_version("Scheduler"))
    assert len(versions) == 2


def test_the_order_of_routes_keeps_the_version(tmp_path: Path) -> None:
    text = SMALL.replace("  hearing:\n    table", "  other: {table: other}\n  hearing:\n    table")
    first, last = "      other: {mapping: hearing}\n      hearing:", "      hearing:"
    (tmp_path / "a.yml").write_text(text.replace(last, first))
    (tmp_path / "b.yml").write_text(text.replace("mappings:\n", "      other: {mapping: hearing}\nmappings:\n"))
    versions = {load(tmp_path / name, environment={}).mapping_version("Scheduler") for name in ("a.yml", "b.yml")}
    assert len(versions) == 1


# ---------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("mappings:\n", "mappings:\n  m: {fields: {id: id}}\n", "19: mappings.m: no route uses this mapping"),
        ("capture:\n", "capture:\n  x: {table: x}\n", "5: capture.x: is captured, but no connector has a route for it"),
        ("https://platform", "http://platform", "12: connectors.Scheduler.url: sends credentials unencrypted"),
        ("lease: 30s", "lease: 30s", "13: connectors.Scheduler.auth.bearer: a secret stands in this file"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path, old: str, new: str, warning: str) -> None:
    said = [str(each) for each in small(tmp_path, old, new).warnings]
    assert [line for line in said if line.startswith(f"{tmp_path}/sync-config.yml:{warning}")]
    assert len(said) == (1 if "lease" in old else 2)


def test_credentials_to_this_machine_may_go_unencrypted(tmp_path: Path) -> None:
    config = small(tmp_path, "https://platform.example", "http://127.0.0.1:8080")
    assert not [each for each in config.warnings if "unencrypted" in each.sentence]


# ---------------------------------------------------------------- secrets

CANARIES = [f"canary{number:02}" + "x" * 12 for number in range(20)]
PLANTED = """\
version: 1
database: {dsn: "postgresql://u:${S00}@${S01}/d"}
capture: {t: {table: public.t, columns: [id]}}
connectors:
  A: {kind: scheduler, url: "https://a.example/${S02}", auth: {bearer: "${S03}"}, proxy: "http://u:${S04}@p:1", ROUTES}
  B: {kind: scheduler, url: "https://b.example", auth: {basic: {username: "${S05}", password: "${S06}"}}, ROUTES}
  C: {kind: scheduler, url: "https://c.example", auth: {header: {name: X-Key, value: "${S07}"}}, ROUTES}
  D: {kind: http, url: "https://d.example", auth: {bearer: "${file:s08}"}, proxy: "http://${S09}:${S10}@p:1", ROUTES,
      options: {create: {method: PUT, path: "/{id}"}, headers: {X-A: "${S11}", X-B: "${file:s12}"}}}
  E: {kind: scheduler, url: "https://e.example", auth: {bearer: "${cred:s13}"}, ROUTES}
mappings: {m: {fields: {id: id}}}
""".replace("ROUTES", "routes: {t: {mapping: m}}")
SPOILED = [
    ("https://a.example/${S02}", "ftp://${S14}"),
    ("https://b.example", "https://${S15}:x@b.example"),
    ("kind: http", 'kind: "${S16}"'),
    ('create: {method: PUT, path: "/{id}"}', 'create: {method: "${S17}", path: "${S18}"}'),
    ("version: 1", 'version: "${S19}"\nweb: {listen: "${S00}"}\ndaemon: {lease: "${S01}"}'),
    ("kind: scheduler", 'transport: "${S03}", lanes: "${S04}", start: "${S05}", tls: {ca: "${S06}"}, kind: scheduler'),
    ("proxy: ", 'allow_addresses: ["${S07}"], require: "${S10}", proxy: '),
    ("postgresql://u:${S00}@${S01}/d", "${S11}"),
    ("auth: {bearer: ", 'page_size: "${S09}", deadline: "${S08}", auth: {bearer: '),
]


def planted(folder: Path, text: str) -> Path:
    for name in ("s08", "s12", "s13"):
        place = folder / "secrets" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(CANARIES[int(name[1:])])
        place.chmod(0o600)
    (folder / "sync-config.yml").write_text(text)
    return folder / "sync-config.yml"


def environment(folder: Path) -> dict[str, str]:
    secrets = {f"S{number:02}": canary for number, canary in enumerate(CANARIES)}
    return {**secrets, "CREDENTIALS_DIRECTORY": str(folder / "secrets")}


def leaks(*texts: str) -> list[str]:
    return [canary for canary in CANARIES if any(canary in text for text in texts)]


def test_no_face_of_a_config_shows_a_secret(tmp_path: Path) -> None:
    text = PLANTED.replace("https://a.example/${S02}", "https://a.example/x")
    config = load(planted(tmp_path, text), environment=environment(tmp_path))
    dumps = [config.model.model_dump_json(), str(config.model.model_dump())]
    built = [repr(config.build(name)) for name in config.connectors]
    definitions = [simplejson.dumps(config.definition(name)) for name in config.connectors]
    assert leaks(repr(config), str(config), repr(config.model), *dumps, *built, *definitions) == []
    assert leaks(*(str(warning) for warning in config.warnings)) == []


def test_the_canaries_reach_those_who_need_them(tmp_path: Path) -> None:
    config = load(planted(tmp_path, PLANTED), environment=environment(tmp_path))
    assert CANARIES[13] in config.build("E").channel.secrets
    assert {CANARIES[11], CANARIES[12]} <= set(config.build("D").channel.secrets)
    assert config.connectors["D"].options["headers"] == {"X-A": CANARIES[11], "X-B": CANARIES[12]}


@pytest.mark.parametrize(("old", "new"), SPOILED)
def test_no_mistake_tells_a_secret(tmp_path: Path, old: str, new: str) -> None:
    assert old in PLANTED
    with pytest.raises(ConfigError) as caught:
        load(planted(tmp_path, PLANTED.replace(old, new)), environment=environment(tmp_path))
    error = caught.value
    assert leaks(str(error), repr(error), simplejson.dumps(error.as_json())) == []


def test_no_secret_written_into_the_file_is_told(tmp_path: Path) -> None:
    text = SMALL.replace("abc-def", '"canary\\n00"').replace("app@", "app:canary@").replace("5432", "x")
    with pytest.raises(ConfigError) as caught:
        load(planted(tmp_path, text.replace("postgresql:", "postgresql;")), environment={})
    assert "canary" not in str(caught.value)
