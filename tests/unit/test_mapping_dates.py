"""Dates: zones always said, gaps and folds of the clock never guessed, nothing from the host."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from outbox.model import Json
from tests.unit.mapping_support import field_refused, mapped, spec_refused
from transformers.moments import load_zone

BERLIN = "Europe/Berlin"
MOMENT = "2026-07-01T22:30:05.25+00:00"


def dated(value: Json, **options: Json) -> Json:
    return mapped({"from": "c", "date": options}, {"c": value})


def undated(value: Json, **options: Json) -> str:
    return field_refused({"from": "c", "date": options}, {"c": value})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("iso", "2026-07-02T00:30:05.250000+02:00"),
        ("rfc3339", "2026-07-02T00:30:05.250000+02:00"),
        ("date", "2026-07-02"),
        ("time", "00:30:05.250000"),
        ("%d.%m.%Y %H:%M", "02.07.2026 00:30"),
        ("%y%j %G-W%V-%u %I:%M:%S %p %f %z 100%%", "26183 2026-W27-4 12:30:05 AM 250000 +0200 100%"),
    ],
)
def test_a_moment_is_shown_in_its_zone(written: str, expected: str) -> None:
    assert dated(MOMENT, zone=BERLIN, format=written) == expected


def test_utc_is_z_in_rfc3339_only() -> None:
    assert dated("2026-01-01T10:00:00Z", zone="UTC", format="rfc3339") == "2026-01-01T10:00:00Z"
    assert dated("2026-01-01T10:00:00Z", zone="UTC", format="iso") == "2026-01-01T10:00:00+00:00"


@pytest.mark.parametrize("value", ["2026-07-01T22:30:00", "2026-07-01 22:30"])
def test_a_timestamp_without_zone_needs_an_assumption(value: str) -> None:
    assert "timestamp without time zone; say which one it means with assume" in undated(value, zone="UTC", format="iso")
    assert dated(value, zone="UTC", format="iso", assume=BERLIN) == "2026-07-01T20:30:00+00:00"


def test_a_date_column_needs_no_zone() -> None:
    assert dated("2026-07-01", format="date") == "2026-07-01"
    assert dated("2026-07-01", format="%d/%m") == "01/07"


def test_a_time_column_needs_no_zone() -> None:
    assert dated("09:05:00", format="time") == "09:05:00"
    assert dated("09:05:00", format="%I.%M %p") == "09.05 AM"


def test_a_moment_without_a_zone_is_an_error() -> None:
    assert "it is a moment; say in which zone it is to be shown" in undated(MOMENT, format="date")


@pytest.mark.parametrize(
    ("value", "written", "reason"),
    [
        ("2026-07-01", "iso", "it has no date and time of day together"),
        ("2026-07-01", "time", "it is a date without a time of day"),
        ("2026-07-01", "%H", "it is a date without a time of day"),
        ("09:00:00", "date", "it is a time of day without a date"),
        ("09:00:00", "%d", "it is a time of day without a date"),
        ("09:00:00", "%z", "it has no date and time of day together"),
        (5, "iso", "it is not a text with a date or time"),
        ("infinity", "iso", "it is not a date, a time or a timestamp from the year 1 to 9999"),
        ("0044-03-15T12:00:00 BC", "iso", "it is not a date"),
        ("12026-03-15", "date", "it is not a date"),
        ("20260315", "date", "it is not a date"),
        ("2026-W01-1", "date", "it is not a date"),
        ("24:00:00", "time", "it is not a date, a time"),
        ("2026-07-01T24:00:00Z", "iso", "it is not a date"),
        ("2026-13-01", "date", "month must be in 1..12"),
        ("٢٠٢٦-01-01", "date", "it is not a date"),
        ("0001-01-01T00:00:00+10:00", "iso", "column c holds"),
        ("1800-01-01T00:00:00Z", "iso", "has seconds"),
    ],
)
def test_what_cannot_be_shown_is_refused(value: Json, written: str, reason: str) -> None:
    assert reason in undated(value, zone=BERLIN, format=written)


# ---------------------------------------------------------------- the change of the clocks

GAP, FOLD = "2026-03-29T02:30:00", "2026-10-25T02:30:00"


@pytest.mark.parametrize(
    ("value", "option", "choice", "expected"),
    [
        (GAP, "gap", "earlier", "2026-03-29T01:30:00+01:00"),
        (GAP, "gap", "later", "2026-03-29T03:30:00+02:00"),
        (FOLD, "fold", "earlier", "2026-10-25T02:30:00+02:00"),
        (FOLD, "fold", "later", "2026-10-25T02:30:00+01:00"),
    ],
)
def test_gap_and_fold_are_decided_by_the_definition(value: str, option: str, choice: str, expected: str) -> None:
    assert dated(value, zone=BERLIN, format="iso", assume=BERLIN, **{option: choice}) == expected


def test_gap_and_fold_are_errors_until_decided() -> None:
    assert f"does not exist in {BERLIN}; say gap: earlier or gap: later" in undated(
        GAP, zone=BERLIN, format="iso", assume=BERLIN
    )
    assert f"happened twice in {BERLIN}; say fold: earlier or fold: later" in undated(
        FOLD, zone=BERLIN, format="iso", assume=BERLIN
    )


# ---------------------------------------------------------------- the host has no say


@pytest.fixture
def strange_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another local time, and no zone files of the system."""
    before = zoneinfo.TZPATH
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    zoneinfo.reset_tzpath(to=[])
    yield
    monkeypatch.undo()
    time.tzset()
    zoneinfo.reset_tzpath(to=before)


@pytest.mark.usefixtures("strange_host")
def test_neither_the_local_time_nor_the_zone_files_of_the_host_matter() -> None:
    assert dated(MOMENT, zone="America/Santiago", format="iso") == "2026-07-01T18:30:05.250000-04:00"


def test_the_zones_are_those_of_the_package(tmp_path: Path) -> None:
    """A host whose zone file says something else gives the same text."""
    tokyo = resources.files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Helsinki").write_bytes(tokyo)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    load_zone.cache_clear()
    try:
        assert dated(MOMENT, zone="Europe/Helsinki", format="%H") == "01"
    finally:
        zoneinfo.reset_tzpath(to=before)


def test_names_of_days_and_months_belong_to_the_locale_and_are_refused() -> None:
    assert "'%A' is not known" in spec_refused({"from": "c", "date": {"format": "%A"}})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "f.date: say a format"),
        ({"format": "iso"}, "f.date: a zone is required"),
        ({"format": "rfc3339"}, "f.date: a zone is required"),
        ({"format": "isoo", "zone": "UTC"}, "f.date.format: expected iso, date, time, rfc3339 or a pattern with %"),
        ({"format": "%Q"}, "f.date.format: '%Q' is not known"),
        ({"format": "100%"}, "f.date.format: '%' is not known"),
        ({"format": "iso", "zone": "Europe/Berln"}, "f.date.zone: unknown time zone 'Europe/Berln'; did you mean"),
        ({"format": "iso", "zone": "../../etc/passwd"}, "f.date.zone: unknown time zone"),
        ({"format": "iso", "zone": "CEST"}, "f.date.zone: unknown time zone 'CEST'"),
        ({"format": "iso", "zone": "UTC", "assume": "x"}, "f.date.assume: unknown time zone"),
        ({"format": "iso", "zone": "UTC", "gap": "next"}, "f.date.gap: expected one of error, earlier, later"),
        ({"format": "iso", "timezone": "UTC"}, "f.date: unknown key 'timezone'"),
    ],
)
def test_a_wrong_date_spec_is_named_with_its_path(options: Json, sentence: str) -> None:
    assert sentence in spec_refused({"from": "c", "date": options})
