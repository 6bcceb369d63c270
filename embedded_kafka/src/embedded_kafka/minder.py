"""Runs a command for as long as its standard input stays open, so that it never outlives a killed parent.

Started as `python minder.py COMMAND…`; prints the child's pid. The parent holds the other end of the pipe: when it
closes it, or dies in any way, the child gets SIGTERM, and SIGKILL after GRACE_SECONDS. A parent-death signal would be
simpler, but fires when the thread that started the child ends, and exists on Linux only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 20.0


def main(command: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Inherited descriptors stay open in the child: a lock on them is held as long as the child runs.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), close_fds=False)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with_parent, args=[child], daemon=True).start()
    return child.wait()


def _end_with_parent(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)
