"""`python -m support.script FILE`: a user's script, which can so be forked from a process that has the libraries."""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    runpy.run_path(sys.argv[1], run_name="__main__")
