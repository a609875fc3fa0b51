"""Another distribution that ships a package of our name is refused, whatever the order of installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cdc import ownership
from cdc.ownership import NotOurPackage, foreign_owners, require_own_packages

PROJECT = Path(ownership.__file__).parents[1]


def install_stub(site: Path, distribution: str, package: str) -> None:
    """What pip leaves behind for a distribution that ships one package."""
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").touch()
    info = site / f"{distribution}-4.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 4.0\n")
    (info / "RECORD").write_text(f"{package}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")


def test_another_owner_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_stub(tmp_path, "transformers", "transformers")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        NotOurPackage, match=r"transformers also installs the package 'transformers'.* environment of its own"
    ):
        require_own_packages()


def test_a_daemon_of_an_own_environment_starts() -> None:
    require_own_packages()


def test_two_owners_are_seen_also_where_one_is_us(tmp_path: Path) -> None:
    install_stub(tmp_path, "hms_sync", "outbox")
    install_stub(tmp_path / "b", "django-outbox", "outbox")
    assert foreign_owners(
        {"outbox": ["hms-sync", "django-outbox", "hms-sync"], "cdc": ["hms-sync"], "rich": ["rich"]}
    ) == {"outbox": ["django-outbox"]}


def test_the_guard_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    install_stub(tmp_path, "stray", "connectors")
    code = f"import sys; sys.path.append({str(tmp_path)!r}); from cdc.ownership import *; require_own_packages()"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert "stray also installs the package 'connectors'" in done.stderr
