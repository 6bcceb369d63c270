"""The cost of starting a stack: `python -m benchmarks.start_cost [--against COMMIT] [--rounds 3]`.

CPU seconds of all processes, wall time and memory (PSS: what processes share is divided among them) of `gauntlet up` in
a new data directory, with Kafka's and MLflow's caches warm. `--against` also installs another commit, with
bytecode, and starts both in turn. Linux only: memory and orphans are counted through /proc and prctl.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil

from gauntlet.stack_config import free_ports
from gauntlet.stack_file import DEFAULT_PORTS, read_stack

HERE = Path(__file__).parents[1]
PR_SET_CHILD_SUBREAPER = 36
MEBIBYTE = 1024 * 1024
START_SECONDS = 300.0


@dataclass(frozen=True)
class Cost:
    """CPU and wall in seconds, memory in MiB, processes at the moment when the stack was ready."""

    cpu: float
    wall: float
    pss: float
    processes: float


def build(commit: str, folder: Path) -> Path:
    """Check `commit` out below `folder` and install it with bytecode; the folder of the checkout."""
    checkout = folder / "checkout"
    _run(HERE, "git", "worktree", "add", "--detach", "--force", str(checkout), commit)
    python = str(checkout / ".venv" / "bin" / "python")
    uv = str(HERE / ".tools" / "bin" / "uv")
    _run(checkout, uv, "venv", "--quiet", "--python", sys.executable, ".venv")
    _run(checkout, uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", python, "requirements.lock")
    sources = [str(path.parent) for path in checkout.glob("**/src") if ".venv" not in path.parts]
    _run(checkout, python, "-m", "compileall", "-q", *sources)
    return checkout


def remove(checkout: Path) -> None:
    _run(HERE, "git", "worktree", "remove", "--force", str(checkout))


def measured(checkout: Path) -> Cost:
    """Measure one start. Raises RuntimeError with the output when the stack does not become ready."""
    with tempfile.TemporaryDirectory(prefix="gauntlet-start-cost-") as name:
        folder = Path(name)
        command = [
            str(checkout / ".venv" / "bin" / "python"),
            "-m",
            "gauntlet",
            "up",
            "--data-dir",
            str(folder / "data"),
        ]
        began = time.monotonic()
        with (folder / "log").open("wb") as log:
            up = subprocess.Popen(command, cwd=checkout, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while not ((state := read_stack(folder / "data")) and state.ready):
                if up.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise RuntimeError(f"the stack did not start:\n{(folder / 'log').read_text()[-3000:]}")
                time.sleep(0.01)
            return _cost(time.monotonic() - began)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)


def _cost(wall: float) -> Cost:
    """Sum over all descendants of this process; ended ones are counted by the process that waited for them."""
    cpu, pss, count = 0.0, 0.0, 0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
            pss += process.memory_full_info().pss / MEBIBYTE
            count += 1
        except psutil.Error:  # it ended meanwhile
            continue
    return Cost(cpu, wall, pss, count)


def _offset() -> int:
    """Return an offset of free ports."""
    for _ in range(100):
        offset = free_ports()["kafka"] - DEFAULT_PORTS["kafka"]
        listening = {item.laddr.port for item in psutil.net_connections("tcp") if item.status == psutil.CONN_LISTEN}
        wanted = {port + offset for port in DEFAULT_PORTS.values()}
        if 0 < offset < 50_000 and wanted.isdisjoint(listening):
            return offset
    raise RuntimeError("no free ports")


def table(costs: dict[str, list[Cost]]) -> list[str]:
    """Return one row per build with the medians, and the ratios of the last to the first."""
    names = [field.name for field in fields(Cost)]
    lines = ["| build | CPU s | wall s | PSS MiB | processes |", "|---|" + "--:|" * len(names)]
    medians = {
        name: list(map(statistics.median, zip(*map(astuple, found), strict=True))) for name, found in costs.items()
    }
    for name, row in medians.items():
        lines.append(f"| {name} | {row[0]:.1f} | {row[1]:.1f} | {row[2]:,.0f} | {row[3]:.0f} |")
    if len(medians) > 1:
        old, new = list(medians.values())
        ratios = " | ".join(f"{after / before:.2f}" for before, after in zip(old, new, strict=True))
        lines.append(f"| ratio | {ratios} |")
    return lines


def run(against: str | None, rounds: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="gauntlet-start-cost-build-"))
    builds = {"this": HERE}
    try:
        if against:
            print(f"installing {against}", file=sys.stderr, flush=True)
            builds = {against: build(against, folder), **builds}
        for checkout in builds.values():  # caches that are created once per user
            measured(checkout)
        costs: dict[str, list[Cost]] = {name: [] for name in builds}
        for number in range(rounds):
            for name, checkout in builds.items():
                costs[name].append(measured(checkout))
                print(f"  round {number + 1}, {name}: {costs[name][-1]}", file=sys.stderr, flush=True)
        print("\n".join(table(costs)))
    finally:
        if against in builds:
            remove(builds[against])
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_cost", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="another build to start in turns with this one")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # a process whose parent has ended is counted, too
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    run(chosen.against, chosen.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
