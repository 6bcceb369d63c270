"""The stack on this machine: starts every part, awaits readiness, restarts, and stops in reverse order."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType

from filelock import FileLock, Timeout

from chassis.processes.owner import ForkServer
from gauntlet.components import Part, log_tail
from gauntlet.errors import CliError
from gauntlet.preflight import require_free_ports, require_no_leftovers, require_reachable
from gauntlet.processes import end, marked, started
from gauntlet.stack_config import MARK, SERVICES, StackConfig, build_parts
from gauntlet.stack_file import KafkaState, MlflowState, PartState, StackState, remove_stack, write_stack
from gauntlet.supervisor import Supervisor

READY_SECONDS = 300.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1

Note = Callable[[str, str], None]


class Stack:
    """A stack in `config.data_dir`. Use it as a context manager, or call start() and stop().

    `on_note(part, what)` is called with what happens, such as "ended (SIGKILL); …", from several threads.
    """

    def __init__(self, config: StackConfig, on_note: Note = lambda _part, _what: None) -> None:
        self.config = config
        self._id = uuid.uuid4().hex
        self._on_note = on_note
        self._fork_server = ForkServer({MARK: self._id})
        self._keepers: dict[str, Supervisor] = {}
        self._ready = False
        self._written = False
        self._saving = threading.RLock()
        self._owner = FileLock(config.data_dir / ".stack.lock", thread_local=False)

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # What runs

    @property
    def names(self) -> tuple[str, ...]:
        """Return the parts this machine runs, in the order they start."""
        return tuple(self._keepers)

    @property
    def pids(self) -> dict[str, int]:
        """Return the process id of every live part."""
        return {name: keeper.part.pid for name, keeper in self._keepers.items() if keeper.part.pid is not None}

    def started_at(self, name: str) -> float:
        """Return when the process of part `name` started, in seconds since the epoch: with the pid, its identity."""
        pid = self._keeper(name).part.pid
        found = started(pid) if pid is not None else None
        if found is None:
            raise CliError(f"{name} is not running")
        return found

    def url(self, name: str) -> str:
        """Return the URL of part `name`."""
        if name == "kafka":
            return self.config.bootstrap_servers
        if name == "mlflow":
            return self.config.tracking_uri
        return self._keeper(name).part.url

    def problem(self, name: str) -> str | None:
        """Check whether part `name` is ready: None when it is, else why it is not."""
        part = self._keeper(name).part
        how = part.ended()
        return f"ended ({how})" if how else part.problem()

    def state(self) -> StackState:
        """Return the contents of stack.json."""
        return StackState(
            data_dir=self.config.data_dir.absolute(),
            stack_id=self._id,
            ready=self._ready,
            supervisor=PartState(name="supervisor", url="", pid=os.getpid(), process_started=started(os.getpid())),
            kafka=KafkaState(bootstrap_servers=self.config.bootstrap_servers, topic_prefix=self.config.topic_prefix),
            mlflow=MlflowState(tracking_uri=self.config.tracking_uri),
            parts=tuple(self._part_state(keeper) for keeper in self._keepers.values()),
        )

    # The whole

    def start(self, ready_seconds: float = READY_SECONDS) -> None:
        """Start every part and wait until all are ready; on failure stop the started ones.

        Raises CliError: another stack in this folder, a port in use, a part that ends or does not become ready.
        """
        self.config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # databases, models, logs: its owner's
        try:
            self._owner.acquire(timeout=0)
        except Timeout:
            raise CliError(
                f"a stack runs already in {self.config.data_dir}",
                f"`gauntlet status` shows it and `gauntlet down --data-dir {self.config.data_dir}` stops it; "
                "a second one needs its own --data-dir and --port-offset.",
            ) from None
        try:
            require_no_leftovers(self.config.data_dir)
            self._start(time.monotonic() + ready_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every part, last started first; no process is left. Idempotent."""
        for keeper in self._keepers.values():
            keeper.release()
        services = [service.name for service in reversed(SERVICES) if service.name in self._keepers]
        # The services concurrently, then what they all need: a consumer that leaves its group needs the broker.
        self._stop_parts(services)
        for name in reversed(self._keepers):
            if name not in services:
                self._stop_parts([name])
        self._keepers.clear()
        self._fork_server.stop()
        end(marked(MARK, self._id), timeout=1.0)  # the last resort: processes started in other sessions
        if self._owner.is_locked:
            if self._written:  # not the file of a killed stack: `gauntlet down` still needs that
                remove_stack(self.config.data_dir)
                self._written = False
            self._owner.release()

    # One part

    def stop_part(self, name: str, timeout: float = STOP_SECONDS) -> None:
        """Stop one part, which stays down until start_part."""
        keeper = self._keeper(name)
        keeper.release()
        keeper.part.stop(timeout)
        self._note(name, "stopped")

    def start_part(self, name: str, ready_seconds: float = READY_SECONDS) -> None:
        """Start one part that is down, and return when it is ready."""
        keeper = self._keeper(name)
        self._start_part(keeper.part)
        self._await_ready([keeper.part], time.monotonic() + ready_seconds)
        keeper.watch()
        self._save()

    def restart(self, name: str) -> None:
        """Stop one part, start it again, and return when it is ready."""
        self.stop_part(name)
        self.start_part(name)

    def kill(self, name: str) -> int:
        """Send SIGKILL to one part, like a crash; the supervisor restarts it. Returns the old pid."""
        pid = self._keeper(name).part.pid
        if pid is None:
            raise CliError(f"{name} is not running")
        os.kill(pid, signal.SIGKILL)
        while started(pid) is not None:  # takes the kernel milliseconds; a check after this sees it dead
            time.sleep(0.005)
        return pid

    def await_ready(self, name: str, ready_seconds: float = READY_SECONDS) -> None:
        """Wait until part `name` is ready, restarts included. Raises CliError after `ready_seconds`."""
        deadline = time.monotonic() + ready_seconds
        while problem := self.problem(name):
            if time.monotonic() > deadline:
                raise self._not_ready(self._keeper(name).part, problem, ready_seconds)
            time.sleep(POLL_SECONDS)

    # How

    def _start(self, deadline: float) -> None:
        self._ready = False
        self._fork_server.start()
        parts = build_parts(self.config, {MARK: self._id, **self._fork_server.variable})
        require_free_ports(parts)
        require_reachable(self.config)
        self._keepers = {part.name: Supervisor(part, self._note) for part in parts}
        servers = [part for part in parts if part.name not in self.config.services]
        # Kafka starts while the libraries are imported; the services would only wait for it.
        with ThreadPoolExecutor(max_workers=len(servers) or 1) as pool:
            list(pool.map(self._start_part, servers))
        for part in parts:
            if part not in servers:
                self._start_part(part)
        self._await_ready(parts, deadline)
        self._ready = True
        self._save()
        for keeper in self._keepers.values():
            keeper.watch()

    def _start_part(self, part: Part) -> None:
        part.start()
        self._note(part.name, "started")

    def _await_ready(self, parts: Iterable[Part], deadline: float) -> None:
        began = time.monotonic()
        waiting = {part.name: part for part in parts}
        with ThreadPoolExecutor(max_workers=len(waiting) or 1) as pool:
            while waiting:
                problems = dict(zip(waiting, pool.map(lambda part: part.problem(), waiting.values()), strict=True))
                for name, problem in problems.items():
                    part = waiting[name]
                    if how := part.ended():
                        log = f"Its log is {part.log} and ends:\n{log_tail(part.log)}"
                        raise CliError(f"{name} ended while starting ({how}). {log}")
                    if problem is None:
                        self._note(name, f"ready after {time.monotonic() - began:.1f} s at {part.url}")
                        del waiting[name]
                    elif time.monotonic() > deadline:
                        raise self._not_ready(part, problem, time.monotonic() - began)
                time.sleep(POLL_SECONDS)

    def _not_ready(self, part: Part, problem: str, seconds: float) -> CliError:
        return CliError(
            f"{part.name} at {part.url} was not ready after {seconds:.0f} s: {problem}. "
            f"Its log is {part.log} and ends:\n{log_tail(part.log)}"
        )

    def _stop_parts(self, names: Sequence[str]) -> None:
        def stop(name: str) -> None:
            self._keepers[name].part.stop(STOP_SECONDS)
            self._on_note(name, "stopped")

        if names:
            with ThreadPoolExecutor(max_workers=len(names)) as pool:
                list(pool.map(stop, names))

    def _keeper(self, name: str) -> Supervisor:
        if name not in self._keepers:
            raise CliError(f"this stack runs no part {name!r}", f"It runs: {', '.join(self._keepers) or 'nothing'}.")
        return self._keepers[name]

    def _note(self, name: str, what: str) -> None:
        self._save()
        self._on_note(name, what)

    def _save(self) -> None:
        with self._saving:
            if self._owner.is_locked:
                write_stack(self.state())
                self._written = True

    def _part_state(self, keeper: Supervisor) -> PartState:
        part = keeper.part
        pid = part.pid
        process_started = started(pid) if pid is not None else None
        return PartState(
            name=part.name,
            url=part.url,
            port=part.port,
            pid=pid,
            process_started=process_started,
            started_at=datetime.fromtimestamp(process_started, UTC) if process_started else None,
            restarts=keeper.restarts,
            log=part.log,
        )
