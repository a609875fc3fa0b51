"""The small process between us and an embedded PostgreSQL: when we are gone, however, the server goes too.

Our end is a pipe: the kernel closes it even on ``kill -9``, and no matter which thread started the
server (a parent-death signal fires when the forking *thread* ends). The guard itself has one thread, so
the parent-death signal of the server is safe: it covers a guard that is killed. Runs with the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_FAST_STOP_SECONDS = 60


def main(arguments: list[str]) -> int:
    """Run ``PIPE... UID GID LOCK_FD COMMAND...`` until the command ends or standard input closes."""
    uid, gid, lock, *command = arguments
    bell = _bell_of_children()
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        pass_fds=[int(lock)],
        start_new_session=True,
        preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
        **({"user": int(uid), "group": int(gid), "extra_groups": []} if uid != "-" else {}),  # type: ignore[call-overload]
    )
    while server.poll() is None:
        readable, _, _ = select.select([sys.stdin, bell], [], [])
        if sys.stdin in readable:
            return _stop(server)
    return int(server.returncode)


def _bell_of_children() -> int:
    """A descriptor that becomes readable when a child ends."""
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    return bell


def _die_with(guard: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != guard:  # the guard died before the line above took effect
            os._exit(1)

    return before_exec


def _stop(server: subprocess.Popen[bytes]) -> int:
    server.send_signal(signal.SIGINT)
    try:
        return server.wait(_FAST_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
