"""The house keeps its own rules: its layers, its figures, its names, and nothing of a machine in its files."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.ownership import PACKAGES

PROJECT = Path(__file__).parents[2]
MODULES = sorted(path for name in PACKAGES for path in (PROJECT / name).rglob("*.py"))
LOCKS = ["requirements.lock", "requirements-build.lock", "requirements-dev.lock"]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Lines of the body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_function_is_longer_than_fifty_lines_and_most_are_below_ten() -> None:
    lengths = {
        f"{name(path)}:{function.name}": body_lines(function) for path in MODULES for function in functions(path)
    }
    assert {where: length for where, length in lengths.items() if length > 50} == {}
    assert statistics.median(lengths.values()) < 10


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {where: length for where, length in lengths.items() if length > 400} == {}


def test_each_module_says_why_it_exists() -> None:
    silent = [name(path) for path in MODULES if not ast.get_docstring(tree(path))]
    assert silent == []


def tracked() -> list[Path]:
    """The files of the repository: what git knows, or would know if it were added."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [PROJECT / entry for entry in listing.stdout.split("\0") if entry]
    return [path for path in paths if path.is_file() and path.suffix not in {".png", ".ico", ".woff2"}]


# Written in pieces, so that this file does not forbid itself.
FORBIDDEN = [
    re.compile(pattern)
    for pattern in (
        r"(?<![\w.])/wo" + r"rk/",
        r"(?<![\w.])/ro" + r"ot/(?!\.)",
        r"/tm" + r"p/(?:brief|pg15|bash)",
        r"/ho" + r"me/[a-z]+/",
        r"files\.python" + r"hosted\.org",
        r"pyp" + r"i\.org/simple",
        r"--(?:extra-)?index-" + r"url\b|--trusted-" + r"host\b",
        r"://[^/\s]*(?:artifact" + r"ory|nex" + r"us)\b",
    )
]


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name(path)}: {match.group()}" for pattern in FORBIDDEN for match in pattern.finditer(text)]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_versions_and_hashes_and_no_address(lock: str) -> None:
    text = (PROJECT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert re.search(r"^-", text, re.MULTILINE) is None
    packages = re.split(r"\n(?=\S)", text.strip())
    assert [package.split(" ")[0] for package in packages if "--hash=sha256:" not in package] == []


def test_the_locks_fit_the_project_file() -> None:
    """Every direct dependency is locked; forgetting `make lock` shows here."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [entry for extra in project["project"]["optional-dependencies"].values() for entry in extra]
    wanted = {_distribution(entry) for entry in [*project["project"]["dependencies"], *extras]} - {"hms-sync"}
    assert wanted - _locked("requirements.lock") == set()
    developers = {_distribution(entry) for entry in project["dependency-groups"]["dev"] if isinstance(entry, str)}
    assert wanted | developers - _locked("requirements-dev.lock") == wanted


def test_the_locks_agree() -> None:
    """What developers test with is what is delivered."""
    lines = [set(re.findall(r"^(\S+==\S+)", (PROJECT / lock).read_text(), re.MULTILINE)) for lock in LOCKS]
    run, build, dev = lines
    assert run - dev == set()
    assert build - dev == set()


def _distribution(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    return match.group().lower().replace("_", "-")


def _locked(lock: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", (PROJECT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_the_layers_hold() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    top = {entry.partition("/")[0] for entry in zipfile.ZipFile(wheel).namelist()}
    assert {entry for entry in top if not entry.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_holds_every_file_of_our_packages(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = {name(path) for package in PACKAGES for path in (PROJECT / package).rglob("*") if path.is_file()}
    assert {path for path in ours if "__pycache__" not in path} - packed == set()


def test_migrations_run_from_an_installed_wheel(wheel: Path, tmp_path: Path, dsn: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = """
import migrations, sys
from cdc import migrate
print(migrations.__file__, migrate.downgrade(sys.argv[1], "base"), migrate.upgrade(sys.argv[1]))"""
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", code, dsn]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    versions = sorted(path.name[:4] for path in (PROJECT / "migrations" / "versions").glob("0*.py"))
    assert done.stdout.endswith(f"{versions[::-1]} {versions}\n")
