"""The demo's platforms as real processes: they start, answer, fail clearly and end with their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from cdc.demo.cast import start_platforms
from cdc.demo.platforms.calendars import CalendarClient, start_radicale
from cdc.demo.platforms.documents import FileClient, start_wsgidav
from cdc.demo.platforms.maps import MapClient, start_pygeoapi
from cdc.demo.platforms.scheduler import SchedulerClient, start_scheduler
from cdc.demo.servers import ServerFailed, ServerProcess, wait_until
from tests.servers import processes_below

HEARING = {
    "id": 7,
    "case_number": "CV-2026-00007",
    "title": "A v. <B>",
    "starts_at": "2026-12-07T09:00:00+01:00",
    "ends_at": "2026-12-07T10:00:00+01:00",
    "room": "A101",
    "status": "confirmed",
}
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:hearing-7
DTSTAMP:20261101T000000Z
DTSTART:20261207T080000Z
SUMMARY:A v. B
END:VEVENT
END:VCALENDAR
"""
PARENT = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from cdc.demo.cast import start_platforms
with ExitStack() as stack:
    platforms = start_platforms(stack, Path(sys.argv[1]))
    print(*[one.server.process.pid for one in platforms], flush=True)
    time.sleep(600)
"""


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[SchedulerClient]:
    running = start_scheduler(tmp_path)
    with running.server:
        yield running.client


@pytest.fixture
def calendars(tmp_path: Path) -> Iterator[CalendarClient]:
    running = start_radicale(tmp_path)
    with running.server:
        yield running.client


@pytest.fixture
def map_server(tmp_path: Path) -> Iterator[MapClient]:
    running = start_pygeoapi(tmp_path)
    with running.server:
        yield running.client


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FileClient]:
    running = start_wsgidav(tmp_path)
    with running.server:
        yield running.client


def eventually(true: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_the_scheduler_speaks_its_whole_protocol(scheduler: SchedulerClient) -> None:
    statuses = [
        scheduler.send("POST", "/hearings", HEARING, key="k1").status_code,
        scheduler.send("POST", "/hearings", HEARING, key="k1").status_code,
        scheduler.send("POST", "/hearings", HEARING, key="k2").status_code,
        scheduler.send("PUT", "/hearings/7", {**HEARING, "room": "B001"}, key="k3").status_code,
        scheduler.send("PUT", "/hearings/8", {**HEARING, "id": 8}).status_code,
        scheduler.send("DELETE", "/hearings/8").status_code,
        scheduler.send("DELETE", "/hearings/7", key="k4").status_code,
        scheduler.send("GET", "/hearings/7").status_code,
    ]
    assert statuses == [201, 201, 409, 200, 404, 404, 204, 404]
    assert scheduler.receipts()["by_key"] == {"k1": 1, "k2": 0, "k3": 1, "k4": 1}


def test_numbers_come_back_with_all_their_digits(scheduler: SchedulerClient) -> None:
    headers = {"Authorization": f"Bearer {scheduler.token}"}
    body = b'{"id": "d", "title": "t", "sha256": "s", "content_type": "text/plain", "size_bytes": 1.10}'
    requests.put(f"{scheduler.url}/documents/d", body, headers=headers, timeout=10)
    assert b'"size_bytes": 1.10' in scheduler.send("GET", "/documents/d").content


@pytest.mark.parametrize("authorization", [{}, {"Authorization": "Bearer wrong"}])
def test_without_the_token_nothing_is_told(scheduler: SchedulerClient, authorization: dict[str, str]) -> None:
    answer = requests.get(f"{scheduler.url}/hearings", headers=authorization, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_page_for_people_needs_no_token(scheduler: SchedulerClient) -> None:
    scheduler.send("POST", "/hearings", HEARING)
    answer = requests.get(scheduler.url, timeout=10)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "A v. &lt;B&gt;" in answer.text


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 422), (b"x" * 1_100_000, 413)])
def test_a_body_that_cannot_be_taken_is_refused_with_a_reason(
    scheduler: SchedulerClient, body: bytes, status: int
) -> None:
    headers = {"Authorization": f"Bearer {scheduler.token}", "Connection": "close"}
    with socket.create_connection(("127.0.0.1", int(scheduler.url.rsplit(":", 1)[1])), timeout=10) as wire:
        lines = [f"POST /hearings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body if status != 413 else b""))
        answer = wire.makefile("rb").read()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b'"detail": "' in answer


def test_one_connection_serves_many_requests(scheduler: SchedulerClient) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {scheduler.token}"
        answers = [session.get(f"{scheduler.url}/hearings", timeout=10) for _ in range(3)]
    assert {answer.raw.version for answer in answers} == {11}
    assert "close" not in {answer.headers.get("Connection") for answer in answers}


def test_radicale_keeps_a_calendar(calendars: CalendarClient) -> None:
    calendars.make_calendar("hearings")
    calendars.put("hearings", "hearing-7.ics", EVENT)
    assert "SUMMARY:A v. B" in calendars.objects("hearings")["hearing-7.ics"]
    assert calendars.send("DELETE", "hearings/hearing-7.ics").status_code == 200
    assert calendars.objects("hearings") == {}


def test_radicale_knows_only_its_user(calendars: CalendarClient) -> None:
    assert not CalendarClient(calendars.url, "hms", "wrong").is_up()


def test_pygeoapi_keeps_an_area(map_server: MapClient) -> None:
    ring = [[4.35, 50.85], [4.36, 50.85], [4.36, 50.86], [4.35, 50.85]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    area = {"type": "Feature", "id": "GF-1", "geometry": shape, "properties": {"name": "Hafen & Quai"}}
    assert map_server.send("POST", feature=area).status_code == 201
    ((name, held),) = map_server.held()["map/patrol_areas"].items()
    assert (name, held["name"]) == ("GF-1", "Hafen & Quai")
    assert requests.get(map_server.home, timeout=10).status_code == 200
    assert map_server.send("DELETE", "GF-1").status_code == 200
    assert map_server.features() == []


def test_pygeoapi_keeps_all_that_comes_at_once(map_server: MapClient) -> None:
    """Its file has no locks: with more than one thread some of these areas vanish."""
    point = {"type": "Point", "coordinates": [4.35, 50.85]}

    def post(number: int) -> int:
        area = {"type": "Feature", "id": f"GF-{number}", "geometry": point, "properties": {"name": "x" * 5000}}
        return MapClient(map_server.url).send("POST", feature=area).status_code

    with ThreadPoolExecutor(8) as clerks:
        assert set(clerks.map(post, range(40))) == {201}
    assert len(map_server.features()) == 40


def test_wsgidav_keeps_a_file(files: FileClient) -> None:
    assert files.send("MKCOL", "hearing-7").status_code == 201
    assert files.send("PUT", "hearing-7/lärm.txt", b"54 dB").status_code == 201
    ((name, held),) = files.held()["files/documents"].items()
    assert (name, held["size"]) == ("hearing-7/lärm.txt", 5)
    assert "hearing-7/lärm.txt" in files.card()


def test_wsgidav_knows_only_its_user(files: FileClient) -> None:
    assert not FileClient(files.url, "hms", "wrong").is_up()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerFailed, match="Address already in use"):
            start_scheduler(tmp_path, port=taken.getsockname()[1])


def test_a_platform_that_cannot_start_takes_the_others_with_it(tmp_path: Path) -> None:
    (tmp_path / "map").touch()
    with pytest.raises(FileExistsError), ExitStack() as stack:
        start_platforms(stack, tmp_path)
    assert processes_below(str(tmp_path)) == []


def test_a_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    server = start_scheduler(tmp_path).server
    with pytest.raises(ServerFailed, match=r"did not answer within 0\.1 s"):
        wait_until(server, lambda: False, 0.1)
    assert not server.alive


def test_stopping_a_server_ends_its_process(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers: list[ServerProcess] = [one.server for one in start_platforms(stack, tmp_path)]
    assert all(gone(server.process.pid) for server in servers)


def test_the_servers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 4
        assert not any(gone(pid) for pid in pids)
        os.kill(parent.pid, signal.SIGKILL)
        eventually(lambda: all(gone(pid) for pid in pids))
