"""A table with a column of every type that applications use, and what they write into it, in PostgreSQL's own input."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import simplejson
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from outbox.model import Json

TYPES = """
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE TYPE public.mood AS ENUM ('calm', 'Über ''all''', 'a,"b"');
CREATE DOMAIN public.cents AS numeric(12, 2) CHECK (value >= 0);
CREATE DOMAIN public.tags AS text[];
CREATE TYPE public.place AS (street text, number integer, since timestamptz, fee numeric);
"""


@dataclass(frozen=True, slots=True)
class Column:
    """``written``: what the application writes, as text. ``place``: where it stands in the application's statement."""

    type: str
    written: SearchStrategy[str]
    place: str = "%s"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
decimals = st.builds(
    lambda digits, places: format(Decimal(digits).scaleb(-places), "f"),
    st.integers(-(10**40), 10**40),
    st.integers(0, 30),
) | st.sampled_from(["NaN", "Infinity", "-Infinity", "1e400", "-1e-400", "0.000", "1.500", "9" * 1000, f"1e-{10**3}"])
zone_changes = st.sampled_from(
    [datetime(2026, 3, 29, 2), datetime(2026, 10, 25, 2), datetime(2026, 3, 8, 2), datetime(2026, 11, 1, 1)]
)
moments = st.builds(
    lambda near, away: near + away, zone_changes, st.timedeltas(timedelta(hours=-2), timedelta(hours=2))
) | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
limits = ["infinity", "-infinity", "0044-03-15 12:00:00.000001 BC", "294275-12-31 23:59:59.999999"]
offsets = st.sampled_from(["+00", "+02", "-03:30", "+05:45", "-12", "+14"])
clocks = st.times().map(str) | st.just("24:00:00")
quoted = texts.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
json_values: SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | texts
    | st.decimals(allow_nan=False, allow_infinity=False, places=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def integers(bits: int) -> SearchStrategy[str]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(str)


def array(of: SearchStrategy[str], size: int = 4) -> SearchStrategy[str]:
    """An array's text: members, NULLs, or nothing at all."""
    return st.lists(of | st.just("NULL"), max_size=size).map(_braces)


def table_of(of: SearchStrategy[str]) -> SearchStrategy[str]:
    """Two rows of the same length."""
    rows = st.integers(1, 3).flatmap(
        lambda size: st.lists(st.lists(of, min_size=size, max_size=size), min_size=2, max_size=2)
    )
    return rows.map(lambda lists: _braces(map(_braces, lists)))


def _braces(members: Iterable[str]) -> str:
    return "{" + ",".join(members) + "}"


def span(values: SearchStrategy[Any]) -> SearchStrategy[str]:
    """A range's text, with its ends in order."""
    ends = st.tuples(values, values).map(sorted)
    some = st.builds(
        lambda left, two, right: f'{left}"{two[0]}","{two[1]}"{right}',
        st.sampled_from("[("),
        ends,
        st.sampled_from(")]"),
    )
    return st.sampled_from(["empty", "(,)"]) | some


def _composite(street: str, number: int, since: datetime, fee: str) -> str:
    return f'({street},{number},"{since}+00",{fee})'


def _single(value: float) -> str:
    return repr(struct.unpack("f", struct.pack("f", value))[0])


def _duplicates(pairs: list[tuple[str, Json]]) -> str:
    """A JSON object as an application may write it: keys in any order, some of them twice, blanks."""
    return "{" + " , ".join(f"{dumped(key)} : {dumped(value)}" for key, value in pairs) + "}"


def dumped(value: Json) -> str:
    return simplejson.dumps(value, use_decimal=True)


COLUMNS: dict[str, Column] = {
    "at": Column(
        "timestamptz",
        moments.map(str) | st.sampled_from(limits) | st.builds(lambda at, off: f"{at}{off}", moments, offsets),
    ),
    "local": Column("timestamp", moments.map(str) | st.sampled_from(limits)),
    "day": Column(
        "date", st.dates().map(str) | st.sampled_from(["infinity", "-infinity", "4713-01-01 BC", "99999-01-01"])
    ),
    "clock": Column("time", clocks),
    "zoned": Column("timetz", st.builds(lambda clock, off: f"{clock}{off}", clocks, offsets)),
    "lasts": Column(
        "interval",
        st.builds(
            lambda months, days, micros: f"{months} months {days} days {micros} microseconds",
            st.integers(-(10**6), 10**6),
            st.integers(-(10**6), 10**6),
            st.integers(-(10**15), 10**15),
        ),
    ),
    "small": Column("smallint", integers(16)),
    "middle": Column("integer", integers(32)),
    "big": Column("bigint", integers(64)),
    "exact": Column("numeric", decimals),
    "fixed": Column("numeric(20, 5)", st.decimals(-(10**14), 10**14, places=5).map(str)),
    "single": Column("real", st.floats(width=32).map(_single)),
    "double": Column("double precision", st.floats().map(repr)),
    "price": Column(
        "money", st.integers(-(2**62), 2**62).map(lambda number: str(Decimal(number).scaleb(-2))), "%s::numeric::money"
    ),
    "open": Column("boolean", st.sampled_from(["t", "f"])),
    "raw": Column("bytea", st.binary(max_size=64).map(lambda data: f"\\x{data.hex()}")),
    "ref": Column("uuid", st.uuids().map(str)),
    "words": Column("text", texts | st.sampled_from(["$oversized", '{"$oversized":1}', "NaN", "null", "\r\n\u2028"])),
    "coded": Column("char(6)", st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)),
    "short": Column("varchar(20)", st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)),
    "mood": Column("public.mood", st.sampled_from(["calm", "Über 'all'", 'a,"b"'])),
    "cents": Column("public.cents", st.decimals(0, 10**9, places=2).map(str)),
    "tags": Column("public.tags", array(quoted)),
    "place": Column("public.place", st.builds(_composite, quoted, st.integers(0, 9), moments, decimals)),
    "places": Column("public.place[]", st.just('{"(Main,1,,)",NULL}')),
    "numbers": Column("integer[]", array(integers(32))),
    "grid": Column("numeric[]", table_of(decimals)),
    "names": Column("text[]", array(quoted)),
    "times": Column("timestamptz[]", array(moments.map(lambda at: f'"{at}"'))),
    "during": Column("tstzrange", span(moments)),
    "fees": Column("numrange", span(st.integers(0, 10**30))),
    "weeks": Column(
        "datemultirange",
        st.just("{}")
        | st.dates(date(1, 1, 2), date(9999, 1, 1)).map(
            lambda day: f"{{[{day},{day + timedelta(days=7)}),(infinity,]}}"
        ),
    ),
    "doc": Column("jsonb", json_values.map(dumped).filter(lambda text: text != "null")),
    "letter": Column("json", st.lists(st.tuples(texts, json_values), max_size=4).map(_duplicates)),
    "host": Column("inet", st.ip_addresses().map(str) | st.just("10.1.2.3/8")),
    "net": Column("cidr", st.sampled_from(["10.0.0.0/8", "2001:db8::/32"])),
    "card": Column("macaddr", st.binary(min_size=6, max_size=6).map(lambda data: data.hex())),
    "flags": Column("bit(5)", st.text("01", min_size=5, max_size=5)),
    "bits": Column("bit varying", st.text("01")),
    "pairs": Column(
        "hstore",
        st.dictionaries(texts, st.none() | texts, max_size=3).map(
            lambda pairs: ",".join(
                f"{_quote(key)}=>{'NULL' if value is None else _quote(value)}" for key, value in pairs.items()
            )
        ),
    ),
    "spot": Column(
        "point", st.builds(lambda x, y: f"({x!r},{y!r})", st.floats(allow_nan=False), st.floats(allow_nan=False))
    ),
}


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


sessions = st.fixed_dictionaries(
    {
        "TimeZone": st.sampled_from(
            ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Chatham", "Asia/Kolkata", "-05:17"]
        ),
        "DateStyle": st.sampled_from(["ISO, YMD", "German", "SQL, DMY", "Postgres, MDY"]),
        "IntervalStyle": st.sampled_from(["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "bytea_output": st.sampled_from(["hex", "escape"]),
        "extra_float_digits": st.sampled_from(["-15", "0", "1", "3"]),
        "lc_monetary": st.sampled_from(["C", "C.UTF-8"]),
        "search_path": st.sampled_from(["public", "pg_temp, public"]),
    }
)
"""What an application may have set in its session."""
