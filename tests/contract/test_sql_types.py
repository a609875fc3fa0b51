"""What the ``sql`` kind writes is read back equal on every database that it knows, or it is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import simplejson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.batch import Item, OpenGate
from outbox.model import Applied, ErrorClass, Json, Rejected
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.postgres import Postgres
from tests.sql_targets import SqlTarget, kinds, mariadb_target, postgresql_target, sqlite_target, written

TABLES = {
    "postgresql": """
        CREATE TABLE court.value (id bigint PRIMARY KEY, day date, at timestamptz, local timestamp, clock time,
        fee numeric(20,5), free numeric, big bigint, scan bytea, open boolean, doc jsonb, ref uuid, words text)""",
    "mariadb": """
        CREATE TABLE value (id bigint PRIMARY KEY, day date, at datetime(6), local datetime(6), clock time(6),
        fee decimal(20,5), free decimal(65,20), big bigint, scan longblob, open boolean, doc json, ref uuid,
        words longtext)""",
    "sqlite": """
        CREATE TABLE value (id INTEGER PRIMARY KEY, day TEXT, at TEXT, local TEXT, clock TEXT, fee TEXT, free TEXT,
        big INTEGER, scan BLOB, open BOOLEAN, doc TEXT, ref TEXT, words TEXT)""",
}
COLUMNS = ("day", "at", "local", "clock", "fee", "free", "big", "scan", "open", "doc", "ref", "words")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
naive = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))
documents: st.SearchStrategy[Json] = st.recursive(
    st.booleans() | st.integers(-(10**30), 10**30) | texts | st.decimals(-(10**9), 10**9, places=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {
        "day": st.none() | st.dates().map(str),
        "at": st.none()
        | st.builds(lambda at, off: f"{at.isoformat()}{off}", naive, st.sampled_from(["+00:00", "-03:30", "+02"])),
        "local": st.none() | naive.map(datetime.isoformat),
        "clock": st.none() | st.times().map(str),
        "fee": st.none() | st.decimals(-(10**14), 10**14, places=5),
        "free": st.none() | st.decimals(-(10**40), 10**40, places=20),
        "big": st.none() | st.integers(-(2**63), 2**63 - 1),
        "scan": st.none() | st.binary(max_size=300).map(lambda data: f"\\x{data.hex()}"),
        "open": st.none() | st.booleans(),
        "doc": st.none() | st.lists(documents, max_size=2) | st.dictionaries(texts, documents, max_size=2),
        "ref": st.none() | st.uuids(version=4).map(str),  # the uuid of MariaDB refuses what no RFC knows
        "words": st.none() | texts,
    }
)


@contextmanager
def opened(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[SqlTarget]:
    if name == "sqlite":
        with sqlite_target(folder) as made:
            yield made
    elif name == "mariadb":
        server: MariaDb = request.getfixturevalue("mariadb")
        with mariadb_target(server) as made:
            yield made
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        database = postgres.create(template=None)
        with postgresql_target(postgres.dsn(database)) as made:
            yield made
        postgres.drop(database)


@pytest.fixture(scope="module", params=TABLES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlTarget]:
    with opened(request.param, request, tmp_path_factory.mktemp("target")) as made:
        made.query(TABLES[request.param])
        yield made


numbers = count(1)


def item(row: dict[str, Json]) -> Item:
    number = next(numbers)
    made = written(number)
    return replace(made, message=replace(made.message, document={"id": number, **row}))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(batch=st.lists(rows, min_size=1, max_size=6))
def test_what_is_written_is_read_back_equal(target: SqlTarget, batch: list[dict[str, Json]]) -> None:
    items = [item(row) for row in batch]
    session = target.session(table=f"{target.prefix}value", key=["id"])
    assert list(session.deliver(items, OpenGate())) == [Applied()] * len(items)
    session.close()
    for sent, row in zip(items, batch, strict=True):
        assert read(target, sent.message.document["id"]) == {name: canonical(name, row[name]) for name in COLUMNS}


def test_a_long_text_and_a_large_file_are_whole(target: SqlTarget) -> None:
    row = {"words": "ß🎉" * 400_000, "scan": "\\x" + "00ff27" * 500_000}
    sent = item(row)
    assert target.deliver(sent, table=f"{target.prefix}value") == [Applied()]
    found = read(target, sent.message.document["id"])
    assert (found["words"], found["scan"]) == (row["words"], data(row["scan"]))


def read(target: SqlTarget, number: int) -> dict[str, Any]:
    """The row as somebody else reads it, in Python's own types."""
    place = "%s" if target.proxy else "?"
    names = ", ".join("doc::text" if name == "doc" and target.prefix else name for name in COLUMNS)
    (found,) = target.query(f"SELECT {names} FROM {target.prefix}value WHERE id = {place}", number)
    assert not isinstance(found[COLUMNS.index("scan")], str)
    return {name: canonical(name, value) for name, value in zip(COLUMNS, found, strict=True)}


def canonical(name: str, value: Any) -> Any:
    return None if value is None else READ[name](value)


def moment(value: Any) -> datetime:
    when = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def clock(value: Any) -> time:
    if isinstance(value, timedelta):
        return (datetime.min + value).time()
    return value if isinstance(value, time) else time.fromisoformat(value)


def data(value: Any) -> bytes:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)


def document(value: Any) -> Any:
    return simplejson.loads(value, use_decimal=True) if isinstance(value, str) else value


READ: dict[str, Callable[[Any], Any]] = {
    "day": lambda value: value if isinstance(value, date) else date.fromisoformat(value),
    "at": moment,
    "local": lambda value: value if isinstance(value, datetime) else datetime.fromisoformat(value),
    "clock": clock,
    "fee": Decimal,
    "free": Decimal,
    "big": int,
    "scan": data,
    "open": bool,
    "doc": document,
    "ref": str,
    "words": str,
}


@pytest.mark.parametrize("target", ["mariadb"], indirect=True)
@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("fee", Decimal("0.123456"), "decimal(20,5)) keeps 5 of these digits: give it more, or round it with number:"),
        ("fee", "NaN", "holds numbers, and this is none"),
        ("at", "infinity", "holds dates of the years 1 to 9999"),
        ("at", "0044-03-15T00:00:00+00:00 BC", "holds dates of the years 1 to 9999"),
        ("at", "9999-12-31T23:59:59-14:00", "in UTC"),
        ("day", "2026-07-01T08:00:00+00:00", "holds dates alone: map the value with date: {format: date, zone: …}"),
        ("clock", "10:00:00+02", "holds times without a zone"),
        ("scan", "aGk=", "holds bytes, which are written \\x and hex digits"),
        ("scan", "\\xzz", "holds bytes"),
    ],
)
def test_what_mariadb_would_change_in_silence_is_refused_with_column_type_and_cure(
    target: SqlTarget, column: str, value: Json, said: str
) -> None:
    batch = [item({"words": "fine"}), item({column: value}), item({"words": "fine"})]
    outcomes = target.deliver(*batch, table="value", key=["id"])
    assert kinds(outcomes) == ["Applied", "Rejected", "Applied"]
    assert isinstance(outcomes[1], Rejected)
    assert (outcomes[1].error_class, outcomes[1].platform) == (ErrorClass.REFUSED, False)
    assert outcomes[1].reason.startswith(f"column {column} of value (")
    assert said in outcomes[1].reason


@pytest.mark.parametrize("target", ["mariadb"], indirect=True)
def test_a_column_that_keeps_no_parts_of_a_second_takes_whole_ones(target: SqlTarget) -> None:
    target.query("CREATE TABLE coarse (id bigint PRIMARY KEY, at datetime)")
    whole, part = item({"at": "2026-07-01T08:00:00.000000+02:00"}), item({"at": "2026-07-01T08:00:00.5+02:00"})
    outcomes = target.deliver(whole, part, table="coarse")
    assert outcomes[0] == Applied()
    assert isinstance(outcomes[1], Rejected)
    assert (
        "column at of coarse (datetime) keeps 0 of these digits: give it more, or say datetime(6)" in outcomes[1].reason
    )
    assert target.query("SELECT at FROM coarse") == [(datetime(2026, 7, 1, 6),)]


def test_a_column_that_the_target_computes_stops_the_connector(target: SqlTarget) -> None:
    kind = target.url.partition(":")[0]
    computed = "GENERATED ALWAYS AS (id * 2) STORED" if kind == "postgresql" else "AS (id * 2)"
    name = f"{target.prefix}computed"
    target.query(f"CREATE TABLE {name} (id bigint PRIMARY KEY, twice bigint {computed})")
    (outcome,) = target.deliver(item({"twice": 2}), table=name)
    assert isinstance(outcome, Rejected)
    assert outcome.platform
    assert outcome.reason.startswith(f"column twice of {name} is computed by the target")
