"""The command line in this process: what it printed where, and its exit code."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from typing import Any

from gauntlet.cli import main
from gauntlet.credentials import VARIABLE


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed for a program."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return [line for line in self.out.splitlines() if line.strip()]


def gauntlet(*args: str) -> Ended:
    """Run `gauntlet ARGS`; a traceback in what it printed fails the test."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    width = os.environ.pop("COLUMNS", None)  # somebody's terminal is no reason to fold what is asserted here
    token = os.environ.get(VARIABLE)  # a command takes it out of its environment; here others follow
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(args)
        except SystemExit as end:
            code = end.code
        finally:
            if width is not None:
                os.environ["COLUMNS"] = width
            if token is not None:
                os.environ[VARIABLE] = token
    ended = Ended(int(code or 0), out.getvalue(), err.getvalue())
    said = ended.out + ended.err
    assert "Traceback" not in said, said
    assert "defect of gauntlet" not in said, said
    return ended


def ok(*args: str) -> Ended:
    """Run `gauntlet ARGS` and expect exit 0."""
    ended = gauntlet(*args)
    assert ended.code == 0, ended.err
    return ended
