"""gauntlet up, down, status: the stack on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json
from gauntlet.output import console, notes, print_json, print_table
from gauntlet.stack_file import StackState, read_stack

DETACHED_SECONDS = 330.0
POLL_SECONDS = 0.2

PortOffset = Annotated[
    int,
    typer.Option("--port-offset", min=-900, max=50_000, help="Move every port by so much: Kafka 9092 → 9192 by 100."),
]
Detach = Annotated[
    bool, typer.Option("--detach", "-d", help="Return when the stack is ready; `gauntlet down` stops it.")
]


def up(data_dir: DataDir = DEFAULT_DATA_DIR, port_offset: PortOffset = 0, detach: Detach = False) -> None:
    """Start the stack: Kafka, MLflow and the services; Ctrl-C stops it."""
    if detach:
        _detached(data_dir, port_offset)
        return
    from gauntlet.running import configuration
    from gauntlet.stack import Stack

    stack = Stack(configuration(data_dir, port_offset), _say)
    enough = threading.Event()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: _interrupt(enough))
    try:
        with notes().status("starting the stack"):
            stack.start()
        _show_urls(stack.state())
        notes().print("Ctrl-C stops the stack.")
        enough.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # stopping has its own deadlines
        try:
            if stack.names:
                notes().print("stopping")
        finally:
            stack.stop()


def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop the stack of a data directory, or what is left of it."""
    from gauntlet.running import end_stack

    state = _required(data_dir)
    with notes().status("stopping the stack"):
        ended = end_stack(state)
    console().print(f"stopped: {', '.join(ended) or 'nothing ran any more'}")


def status(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show each part: where it is, since when, and whether it is ready. Exit 1 unless all are."""
    from gauntlet.running import report

    state = read_stack(data_dir)
    if state is None:
        if as_json:
            print_json({"running": False, "data_dir": str(data_dir.absolute())})
            raise typer.Exit(1)
        state = _required(data_dir)
    found = report(state)
    if as_json:
        print_json(found)
    else:
        _show_status(found)
    raise typer.Exit(0 if found["healthy"] else 1)


def _interrupt(enough: threading.Event) -> None:
    if enough.is_set():
        return
    enough.set()
    raise KeyboardInterrupt  # ends the start, too, wherever it is


def _say(part: str, what: str) -> None:
    with suppress(OSError, SystemExit):  # a terminal that has gone must not keep the stack from being stopped
        notes().print(f"[dim]{time.strftime('%H:%M:%S')}[/] [bold]{part:<10}[/] {escape(what)}", soft_wrap=True)


def _show_urls(state: StackState) -> None:
    rows = [("kafka", state.kafka.bootstrap_servers, None), ("mlflow", state.mlflow.tracking_uri, None)]
    own = {part.name: part for part in state.parts}
    rows = [(name, url, own[name].pid if name in own else "elsewhere") for name, url, _ in rows]
    rows += [(part.name, part.url, part.pid) for part in state.parts if part.name not in ("kafka", "mlflow")]
    print_table(["part", "address", "pid"], rows)


def _show_status(found: dict[str, Any]) -> None:
    rows = [
        [part["name"], part["url"], part["pid"], _clock(part["started_at"]), part["restarts"], part["health"]]
        for part in found["parts"]
    ]
    print_table(["part", "address", "pid", "started", "restarts", "health"], rows)
    _show_policies({part["name"]: part.get("policies") for part in found["parts"]})
    if not found["supervisor"]["running"]:
        notes().print(
            "[bold red]The supervisor is gone[/]: nothing restarts what ends. "
            f"Stop the rest with: gauntlet down --data-dir {found['data_dir']}",
            soft_wrap=True,
        )


def _show_policies(parts: dict[str, Any]) -> None:
    from gauntlet.policy_report import problems_of

    names = sorted({model for details in parts.values() for model in (details or {}).get("in_force", ())})
    console().print(
        f"policies in force: {', '.join(names) or 'none'} (with digests: gauntlet policy check)", markup=False
    )
    for why, effect, services in problems_of(parts):
        notes().print(f"[bold red]policy not usable[/] ({services}; {effect}): {escape(why)}", soft_wrap=True)


def _clock(moment: Any) -> str | None:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else None


def _required(data_dir: Path) -> StackState:
    state = read_stack(data_dir)
    if state is None:
        raise CliError(
            f"no stack is running in {data_dir.absolute()}", "Start one with `gauntlet up`, or name its --data-dir."
        )
    return state


def _detached(data_dir: Path, port_offset: int) -> None:
    log = data_dir / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gauntlet", "up", "--data-dir", str(data_dir), "--port-offset", str(port_offset)]
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with notes().status("starting the stack"):
            state = _await_detached(data_dir, supervisor, log)
    except BaseException:
        supervisor.terminate()  # Ctrl-C stops the stack, not only this wait for it
        raise
    _show_urls(state)
    notes().print(
        f"The stack runs in the background; stop it with: gauntlet down --data-dir {data_dir}", soft_wrap=True
    )


def _await_detached(data_dir: Path, supervisor: subprocess.Popen[bytes], log: Path) -> StackState:
    from gauntlet.components import log_tail

    deadline = time.monotonic() + DETACHED_SECONDS
    while True:
        state = read_stack(data_dir)
        if state and state.ready and state.supervisor.pid == supervisor.pid:
            return state
        problem = None
        if supervisor.poll() is not None:
            problem = "the stack did not start"
        elif time.monotonic() > deadline:
            problem = f"the stack was not ready after {DETACHED_SECONDS:.0f} s"
        if problem:
            raise CliError(f"{problem}. {log} ends:\n{log_tail(log, 25)}")
        time.sleep(POLL_SECONDS)
