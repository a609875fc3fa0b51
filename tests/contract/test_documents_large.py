"""A document of 200 MB passes through a process whose memory does not grow by it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Shelf, digest_of, pieces_of, shelf

PIECES, PIECE = 200, 1_000_000
MOST_GROWN = 40_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """200 MB, no two pieces alike."""
    place = tmp_path_factory.mktemp("documents") / "large"
    block = bytes(range(256)) * (PIECE // 256 + 1)
    with place.open("wb") as file:
        for number in range(PIECES):
            file.write((b"%08d" % number + block)[:PIECE])
    yield place
    place.unlink()


@pytest.fixture(scope="module", params=["webdav", "s3"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with shelf(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.mark.parametrize("transport", ["curl", "requests"])
def test_two_hundred_megabytes_arrive_and_never_live_in_memory(platform: Shelf, large: Path, transport: str) -> None:
    command = [sys.executable, "-m", "tests.streaming", platform.kind, platform.url, str(large.parent), large.name]
    done = subprocess.run([*command, transport], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["grown"] < MOST_GROWN
    assert digest_of(platform.pieces(f"large/{transport}")) == digest_of(pieces_of(large))
