"""Modules of the services that a command runs in a process of their own, and that print JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from chassis.processes.launcher import start
from gauntlet.errors import CliError
from gauntlet.output import notes

QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def run(module: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a module with its arguments; what it printed. Raises CliError with its reason when it fails."""
    with _started(module, environment) as output:
        return output.read().decode()


def follow(module: Sequence[str], environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Run a module that prints one JSON object per line; show its progress, and yield the other objects.

    Raises CliError with its reason when it fails.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=notes(), transient=True) as bar,
        _started(module, environment) as output,
    ):
        task = bar.add_task("loading", total=1.0)
        for line in output:
            said = json.loads(line)
            if "progress" in said:
                bar.update(task, completed=said["progress"], description=said["message"])
            else:
                yield said


@contextmanager
def _started(module: Sequence[str], environment: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """The standard output of a module; it is ended with this block, and when it fails, its reason is raised."""
    with tempfile.TemporaryFile("w+") as errors:
        process = start(
            [sys.executable, "-m", *module],
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            dies_with_client=True,
        )
        assert process.stdout is not None, "asked for"
        try:
            with process.stdout as output:
                yield output
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.wait() != 0:
            errors.seek(0)
            raise _failure(module[0], errors.read())


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Build the environment; recipes may be where the trainer would look for them."""
    paths = [os.environ.get("TRAINER_RECIPE_PATH", ""), os.environ.get("PYTHONPATH", "")]
    return {**QUIET, **os.environ, **more, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _failure(module: str, said: str) -> CliError:
    """Build the error: the last line is the reason, a sentence or the end of a traceback."""
    lines = said.strip().splitlines()
    what = "usage: " if lines and lines[0].startswith("usage:") else ""
    reason = lines[-1].partition("error: ")[2] if what and lines else (lines[-1] if lines else "it gave no reason")
    return CliError(f"{module}: {reason}")
