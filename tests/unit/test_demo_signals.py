"""The demo and its signals: they may come at any moment, also while it begins to wait for them."""

from __future__ import annotations

import subprocess
import sys

KILLER = """
import os, signal, sys, time
while True:
    os.kill(int(sys.argv[1]), signal.SIGTERM)
    time.sleep(0.0001)
"""
STORM = """
import os, signal, subprocess, sys
from cdc.demo.run import _Stop

def another(number, frame):
    stop._is_told = False
    stop.on_signal(number, frame)

stop = _Stop()
signal.signal(signal.SIGTERM, another)
killer = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
for _ in range(300_000):
    stop.wait(0)
killer.kill()
print(stop.wait(30))
"""


def test_a_signal_while_the_demo_begins_to_wait_locks_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STORM, KILLER], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "True\n", done.stderr
