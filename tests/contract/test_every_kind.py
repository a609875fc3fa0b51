"""The contract that every kind of connector keeps, at real servers: ours pass what we ask of third parties.

Here those that have no test of their own to share a server with; tests/house knows whether a kind is missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cdc.demo.platforms.maps import start_pygeoapi
from hms_sync.testing import ConnectorContract
from tests.fixtures.postgres import Postgres
from tests.platforms import (
    BATCH,
    CONDITIONAL,
    ITS_OWN_IDS,
    UPSERTS,
    AreaItems,
    Calendar,
    KintoRecords,
    Scheduler,
    SqlTable,
)
from tests.receivers import kinto, xandikos
from tests.servers import radicale
from tests.sql_targets import postgresql_target, sqlite_target
from tests.trials import ANYBODY, HMS

TOKEN = "t0ken"


@pytest.fixture(scope="module")
def calendar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calendar]:
    with radicale(tmp_path_factory.mktemp("radicale")) as server:
        yield Calendar(server.collection, HMS, f"{server.url}/hms/nowhere/")


@pytest.fixture(scope="module")
def other_calendar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calendar]:
    with xandikos(tmp_path_factory.mktemp("xandikos")) as url:
        yield Calendar(url, ANYBODY)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Scheduler]:
    command = [sys.executable, "-m", "cdc.demo.scheduler_api", "--port", "0"]
    environment = {**os.environ, "SCHEDULER_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            yield Scheduler(process.stdout.readline().decode().strip(), TOKEN)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kinto(tmp_path_factory.mktemp("kinto")) as url:
        yield url


@pytest.fixture(scope="module")
def areas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AreaItems]:
    started = start_pygeoapi(tmp_path_factory.mktemp("pygeoapi"))
    with started.server:
        yield AreaItems(started.client)


@pytest.fixture(scope="module")
def postgresql(postgres: Postgres) -> Iterator[SqlTable]:
    name = postgres.create(template=None)
    with postgresql_target(postgres.dsn(name)) as target:
        yield SqlTable(target)
    postgres.drop(name)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlTable]:
    with sqlite_target(tmp_path_factory.mktemp("sqlite")) as target:
        yield SqlTable(target)


class TestCaldavOnRadicale(ConnectorContract):
    @pytest.fixture
    def platform(self, calendar: Calendar) -> Calendar:
        return calendar


class TestCaldavOnXandikos(ConnectorContract):
    """The quick probes do not see that it carries only CONVERGE."""

    @pytest.fixture
    def platform(self, other_calendar: Calendar) -> Calendar:
        return other_calendar


class TestScheduler(ConnectorContract):
    @pytest.fixture
    def platform(self, scheduler: Scheduler) -> Scheduler:
        return scheduler


class TestHttpByOurIds(ConnectorContract):
    @pytest.fixture
    def platform(self, records: str) -> KintoRecords:
        return KintoRecords(records, UPSERTS)


class TestHttpConditional(ConnectorContract):
    """The quick probes do not see that Kinto in memory carries only CONVERGE."""

    @pytest.fixture
    def platform(self, records: str) -> KintoRecords:
        return KintoRecords(records, CONDITIONAL)


class TestHttpBatch(ConnectorContract):
    @pytest.fixture
    def platform(self, records: str) -> KintoRecords:
        return KintoRecords(records, BATCH)


class TestHttpByItsOwnIds(ConnectorContract):
    @pytest.fixture
    def platform(self, records: str) -> KintoRecords:
        return KintoRecords(records, ITS_OWN_IDS)


class TestOgcFeaturesOnPygeoapi(ConnectorContract):
    @pytest.fixture
    def platform(self, areas: AreaItems) -> AreaItems:
        return areas


class TestSqlOnPostgreSql(ConnectorContract):
    @pytest.fixture
    def platform(self, postgresql: SqlTable) -> SqlTable:
        return postgresql


class TestSqlOnSqlite(ConnectorContract):
    @pytest.fixture
    def platform(self, sqlite: SqlTable) -> SqlTable:
        return sqlite
