"""What a user would write instead: ``python -m tests.bench.references bare|script DSN URL``.

``bare``: as fast as Python can at all (libcurl multi, one DELETE and INSERT per 500; no leases, no retries, no order).
``script``: what most people have (``requests``, 8 threads, one transaction per row).
Each drains ``bench.queue`` and prints one line of JSON: seconds and CPU seconds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator

import psycopg
import pycurl
import requests

QUEUE = """
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.queue (id bigint PRIMARY KEY, body text NOT NULL);
CREATE TABLE bench.done (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
"""
FILL = """
INSERT INTO bench.queue SELECT n, json_build_object('id', n, 'title', 'Hearing ' || n, 'version', 1)::text
FROM generate_series(1, %s) n
"""
_BATCH, _PARALLEL, _THREADS = 500, 64, 8
_TAKE = "SELECT id, body FROM bench.queue ORDER BY id LIMIT 500"
_TAKE_ONE = """
DELETE FROM bench.queue WHERE id = (SELECT id FROM bench.queue ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING id, body
"""
_DONE = """
WITH gone AS (DELETE FROM bench.queue WHERE id = ANY (%s) RETURNING id)
INSERT INTO bench.done SELECT id FROM gone
"""


def bare(dsn: str, url: str) -> None:
    multi = pycurl.CurlMulti()
    idle = [_handle(url) for _ in range(_PARALLEL)]
    with psycopg.connect(dsn, autocommit=True) as connection:
        while rows := connection.execute(_TAKE).fetchall():
            _post_all(multi, idle, iter(rows))
            connection.execute(_DONE, ([row[0] for row in rows],))


def _handle(url: str) -> pycurl.Curl:
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.POST, 1)
    curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])
    curl.setopt(pycurl.WRITEFUNCTION, lambda _data: None)
    return curl


def _post_all(multi: pycurl.CurlMulti, idle: list[pycurl.Curl], rows: Iterator[tuple[int, str]]) -> None:
    under_way = 0
    waiting = next(rows, None)
    while waiting is not None or under_way:
        while waiting is not None and idle:
            curl = idle.pop()
            curl.setopt(pycurl.POSTFIELDS, waiting[1])
            multi.add_handle(curl)
            under_way += 1
            waiting = next(rows, None)
        multi.perform()
        _queued, ended, failed = multi.info_read()
        for curl in ended:
            multi.remove_handle(curl)
            idle.append(curl)
            under_way -= 1
        if failed:
            raise SystemExit(f"the receiver failed: {failed[0][2]}")
        if not ended:
            multi.select(0.1)


def script(dsn: str, url: str) -> None:
    threads = [threading.Thread(target=_work, args=(dsn, url)) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(dsn: str, url: str) -> None:
    with psycopg.connect(dsn) as connection, requests.Session() as session:
        while row := connection.execute(_TAKE_ONE).fetchone():
            headers = {"Content-Type": "application/json"}
            session.post(url, data=row[1].encode(), headers=headers, timeout=10).raise_for_status()
            connection.execute("INSERT INTO bench.done VALUES (%s)", (row[0],))
            connection.commit()


def main(kind: str, dsn: str, url: str) -> None:
    began, cpu = time.monotonic(), time.process_time()
    {"bare": bare, "script": script}[kind](dsn, url)
    print(json.dumps({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
