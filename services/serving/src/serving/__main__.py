"""`python -m serving`: one replica, until SIGTERM.

The numeric libraries read these variables when they are first imported. One thread per prediction: several predictions
run in parallel, and forty threads that compete for two cores serve half as many requests as one.
"""

from __future__ import annotations

import os
import sys

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

SWITCH_SECONDS = 0.0005
"""How long a thread that loads or publishes may hold the interpreter lock; Python's default is 0.005."""


def main() -> int:
    for name in THREADS:
        os.environ.setdefault(name, "1")
    sys.setswitchinterval(SWITCH_SECONDS)

    from serving.app import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
