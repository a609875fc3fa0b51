"""A failover or a restore is noticed, told and accepted only by order; no key is used for two events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.calendars import radicale_receiver
from tests.harness.clusters import Pair, pair
from tests.harness.premises import until
from tests.harness.registry import Registry, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROUNDS = int(os.environ.get("HMS_FAILOVERS", "2"))


@contextmanager
def registry(dsn: str, folder: Path) -> Iterator[Registry]:
    """A registry whose daemon runs; the calendar beside it."""
    with radicale_receiver(folder / "calendar") as calendar:
        made = Registry(dsn, folder, calendar)
        made.prepare()
        yield made


def events_of(answer: Any) -> set[str]:
    return {one["event_id"] for one in answer["lost"]}


def applied_events(office: Registry, since: int) -> set[str]:
    rows = office.execute(f"SELECT event_id FROM outbox.audit WHERE outcome = 'applied' AND change_id > {since}")
    return {str(row["event_id"]) for row in rows}


def last_change(office: Registry) -> int:
    return int(office.execute("SELECT coalesce(max(id), 0) AS id FROM outbox.change")[0]["id"])


def test_an_asynchronous_failover_is_noticed_told_and_accepted_by_order_only(tmp_path: Path) -> None:
    with pair(hot_standby="on") as servers, registry(servers.dsn, tmp_path) as office:
        for number in range(ROUNDS):
            _lose_a_primary(office, servers, number * 100)
            servers.renew()
            office.configure(servers.dsn)


def _lose_a_primary(office: Registry, servers: Pair, base: int) -> None:
    a, b, c, d, e, f = (base + n for n in range(1, 7))
    with running(office) as daemon:
        office.execute(
            f"INSERT INTO public.hearing SELECT n, 'first' FROM generate_series({a}, {e}) n",
            f"UPDATE public.hearing SET title = 'second' WHERE id IN ({a}, {b})",
        )
        office.settled()
        servers.cut()
        known = last_change(office)
        office.execute(
            f"UPDATE public.hearing SET title = 'lost' WHERE id IN ({a}, {b})",
            f"DELETE FROM public.hearing WHERE id = {c}",
            f"INSERT INTO public.hearing VALUES ({f}, 'lost'), ({f} + 10, 'lost')",
            f"INSERT INTO public.hearing SELECT n, 'lost' FROM generate_series({base} + 20, {base} + 59) n",
            f"UPDATE public.hearing SET title = 'lost twice' WHERE id = {a}",
        )
        office.settled()
        lost = applied_events(office, known)
        assert len(lost) == 46
        last_lost = last_change(office)
        before = len(office.calendar.effects())
        servers.fail_over()
        until(lambda: office.execute("SELECT pg_is_in_recovery() AS standby")[0]["standby"] is False)
        office.execute(
            f"UPDATE public.hearing SET title = 'third' WHERE id IN ({b}, {d})",
            f"INSERT INTO public.hearing VALUES ({f}, 'another one')",
        )
        assert last_change(office) < last_lost, "the ids of lost changes are drawn again"
        said = office.refused(daemon)
    assert "a standby was promoted" in said
    assert "it does not know 46 deliveries" in said
    assert office.refused() == said
    assert len(office.calendar.effects()) == before, "something was delivered before the rebase"
    code, answer = office.command("rebase", "--dry-run")
    assert (code, events_of(answer)) == (0, lost)
    code, answer = office.command("rebase", "--reason", "the primary burnt")
    assert (code, events_of(answer), answer["removed"], answer["person"]) == (0, lost, 41, [])
    with running(office):
        office.settled()
        until(lambda: office.shown() == office.rows(), lambda: (office.shown() ^ office.rows(), office.log.read_text()))
    keys = office.keys()
    assert len(keys) == len(set(keys)), "a key was used twice"


def test_a_synchronous_failover_loses_nothing(tmp_path: Path) -> None:
    with pair(hot_standby="on") as servers, registry(servers.dsn, tmp_path) as office:
        servers.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        servers.primary.execute("ALTER SYSTEM SET synchronous_commit = 'on'")
        servers.primary.execute("SELECT pg_reload_conf()")
        with running(office) as daemon:
            office.execute("INSERT INTO public.hearing SELECT n, 'first' FROM generate_series(1, 20) n")
            office.settled()
            servers.fail_over()
            assert "does not know" not in office.refused(daemon)
        servers.standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
        servers.standby.execute("SELECT pg_reload_conf()")
        code, answer = office.command("rebase", "--reason", "planned")
        assert (code, answer["lost"]) == (0, [])
        with running(office):
            office.execute("UPDATE public.hearing SET title = 'second' WHERE id < 5")
            office.settled()
            assert office.shown() == office.rows()
        assert len(office.keys()) == len(set(office.keys()))
