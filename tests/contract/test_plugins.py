"""A kind and a format that another package adds: installed beside us, and held to the contract.

A daemon that serves them is in :mod:`tests.contract.test_examples`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cdc.config import ConfigError, load

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugins" / "carddav"


def contract(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The example's own test, run as its author would: in a folder that knows nothing of this checkout."""
    shutil.copy(EXAMPLE / "test_carddav.py", folder)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *words]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_page_shows_the_example_as_it_is_and_it_is_short() -> None:
    code = (EXAMPLE / "hms_sync_carddav.py").read_text()
    assert f"```python\n{code}```" in (EXAMPLE.parents[2] / "docs" / "writing-a-connector.md").read_text()
    assert len(code.splitlines()) < 60


def test_the_example_passes_the_contract(carddav_site: Path, tmp_path: Path) -> None:
    done = contract(carddav_site, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_contract_finds_a_connector_that_promises_too_much_and_believes_everything(
    carddav_site: Path, tmp_path: Path
) -> None:
    careless = (carddav_site / "hms_sync_carddav.py").read_text()
    careless = careless.replace("Guarantee.CONVERGE", "Guarantee.EXACT_CAS")
    careless = careless.replace(
        "return classify(response, missing_is_wrong_url=True)", "return Applied(answer(response))"
    )
    (tmp_path / "hms_sync_carddav.py").write_text(careless)
    done = contract(
        carddav_site, tmp_path, "-k", "straggler or declared_class or fails or refused_credential or two_records"
    )
    found = {line.split("::")[-1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    assert found == {
        "test_a_straggler_never_overwrites_something_newer",
        "test_the_declared_class_is_the_one_that_a_machine_finds",
        "test_a_platform_that_fails_is_never_believed",
        "test_a_refused_credential_stops_the_connector",
    }, done.stdout


def test_without_the_package_the_config_is_refused_in_words() -> None:
    places = {"HMS_DSN": "postgresql://localhost/x", "CARDDAV_URL": "http://localhost/", "CARDDAV_USER": "a"}
    with pytest.raises(ConfigError) as refused:
        load(EXAMPLE / "sync-config.yml", environment={**places, "CARDDAV_PASSWORD": "b"})
    assert "connectors.AddressBook.kind: there is no kind 'carddav'" in str(refused.value)
    assert "mappings.card.output: expected one of json, icalendar" in str(refused.value)
