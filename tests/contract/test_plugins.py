"""A kind and a format that another package adds: installed beside us, held to the contract, served by a daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdc.config import ConfigError, load
from outbox import db as outbox_db
from tests.harness.premises import RUN, until
from tests.servers import free_port, radicale

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugins" / "carddav"
ADDRESS_BOOK = b"""<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">
<set><prop><resourcetype><collection/><C:addressbook/></resourcetype></prop></set></mkcol>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as pip installs it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "carddav")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", folder, source], check=True)
    return folder


def environment(site: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(site), **more}


def contract(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The example's own test, run as its author would: in a folder that knows nothing of this checkout."""
    shutil.copy(EXAMPLE / "test_carddav.py", folder)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *words]
    return subprocess.run(command, cwd=folder, env=environment(site), capture_output=True, text=True, check=False)


def test_the_page_shows_the_example_as_it_is_and_it_is_short() -> None:
    code = (EXAMPLE / "hms_sync_carddav.py").read_text()
    assert f"```python\n{code}```" in (EXAMPLE.parents[2] / "docs" / "writing-a-connector.md").read_text()
    assert len(code.splitlines()) < 60


def test_the_example_passes_the_contract(site: Path, tmp_path: Path) -> None:
    done = contract(site, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_contract_finds_a_connector_that_promises_too_much_and_believes_everything(
    site: Path, tmp_path: Path
) -> None:
    careless = (site / "hms_sync_carddav.py").read_text()
    careless = careless.replace("Guarantee.CONVERGE", "Guarantee.EXACT_CAS")
    careless = careless.replace(
        "return classify(response, missing_is_wrong_url=True)", "return Applied(answer(response))"
    )
    (tmp_path / "hms_sync_carddav.py").write_text(careless)
    done = contract(site, tmp_path, "-k", "straggler or declared_class or fails or refused_credential or two_records")
    found = {line.split("::")[-1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    assert found == {
        "test_a_straggler_never_overwrites_something_newer",
        "test_the_declared_class_is_the_one_that_a_machine_finds",
        "test_a_platform_that_fails_is_never_believed",
        "test_a_refused_credential_stops_the_connector",
    }, done.stdout


# ---------------------------------------------------------------- the daemon


def hms_sync(site: Path, config: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, "-c", str(config), *words]
    return subprocess.run(command, env=environment(site, **more), capture_output=True, text=True, check=False)


@contextmanager
def daemon(site: Path, config: Path, **more: str) -> Iterator[None]:
    with (config.parent / "daemon.log").open("wb") as log:
        command = [sys.executable, "-c", RUN, "-c", str(config), "run"]
        process = subprocess.Popen(command, env=environment(site, **more), stdout=subprocess.DEVNULL, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def test_a_daemon_serves_the_kind_and_the_format_of_another_package(site: Path, dsn: str, tmp_path: Path) -> None:
    config = tmp_path / "sync-config.yml"
    config.write_text((EXAMPLE / "sync-config.yml").read_text() + f"\nweb: {{listen: '127.0.0.1:{free_port()}'}}\n")
    with radicale(tmp_path) as server, outbox_db.connect(dsn, name="application") as application:
        book = f"{server.url}/{server.user}/contacts/"
        card = f"{book}person-1.vcf"
        assert server.request("MKCOL", book, ADDRESS_BOOK).status_code == 201
        application.execute("CREATE TABLE public.person (id int PRIMARY KEY, name text, email text)")
        secrets = {
            "HMS_DSN": dsn,
            "CARDDAV_URL": book,
            "CARDDAV_USER": server.user,
            "CARDDAV_PASSWORD": server.password,
        }
        for words in (("capture", "apply"), ("check", "--live")):
            done = hms_sync(site, config, *words, **secrets)
            assert done.returncode == 0, done.stdout + done.stderr
        with daemon(site, config, **secrets):
            log = (tmp_path / "daemon.log").read_text
            application.execute("INSERT INTO public.person VALUES (1, 'Miller, Ann', 'ann@court.example')")
            until(lambda: "FN:Miller\\, Ann" in server.request("GET", card).text, log)
            application.execute("DELETE FROM public.person")
            until(lambda: server.request("GET", card).status_code == 404, log)


def test_without_the_package_the_config_is_refused_in_words() -> None:
    places = {"HMS_DSN": "postgresql://localhost/x", "CARDDAV_URL": "http://localhost/", "CARDDAV_USER": "a"}
    with pytest.raises(ConfigError) as refused:
        load(EXAMPLE / "sync-config.yml", environment={**places, "CARDDAV_PASSWORD": "b"})
    assert "connectors.AddressBook.kind: there is no kind 'carddav'" in str(refused.value)
    assert "mappings.card.output: expected one of json, icalendar" in str(refused.value)
