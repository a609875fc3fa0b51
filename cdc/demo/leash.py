"""Run a Python module that ends with its parent: ``python -m cdc.demo.leash <module> [arguments]``.

The parent keeps the write end of our stdin open. When it dies, however it dies, the kernel closes that
end; we see the end of the file and stop. Works for any server, needs no supervisor and no Linux call.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

_GRACE_SECONDS = 5.0


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def main() -> None:
    module, *arguments = sys.argv[1:]
    threading.Thread(target=_watch, name="leash", daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
