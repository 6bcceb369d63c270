"""Run a service that kills itself (-9) at a chosen point, once: `python -m support.crash POINT FLAG MODULE`.

The point is reached by wrapping the real code in this process; the product knows nothing of it. FLAG is a file: when it
exists, the process has died before, and runs unharmed now. What it leaves behind runs out soon (see below).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import chassis.bus
import chassis.relay
from chassis.delivery import Subscription
from chassis.job_worker import JobWorker
from chassis.jobs import Jobs
from chassis.relay import Relay
from chassis.stream import StreamConsumer

SHORT = timedelta(seconds=3)


def before_transaction(die: Callable[[], None]) -> None:
    """In the handler's transaction, before its effect."""
    mark, run_batch = chassis.bus.first_time, StreamConsumer._run_batch

    def dying_mark(*args: Any) -> bool:
        die()
        return mark(*args)

    def dying_batch(self: Any, items: Any) -> None:
        if items:
            die()
        run_batch(self, items)

    chassis.bus.first_time = dying_mark
    StreamConsumer._run_batch = dying_batch  # type: ignore[method-assign]


def before_batch_commit(die: Callable[[], None]) -> None:
    """In the transaction of a batch, after its effect."""
    init = StreamConsumer.__init__

    def dying(self: Any, stream: Any, *args: Any, **options: Any) -> None:
        def dying_handler(session: Any, batch: Any) -> None:
            stream.handler(session, batch)
            session.flush()
            die()

        init(self, replace(stream, handler=dying_handler), *args, **options)

    StreamConsumer.__init__ = dying  # type: ignore[method-assign]


def within_append(die: Callable[[], None]) -> None:
    """In drift, after rows were stored as columns and before it is stored where each of them is."""
    from drift.database import places

    add = places.add

    def dying(*args: Any) -> None:
        die()
        add(*args)

    places.add = dying


def within_labels(die: Callable[[], None]) -> None:
    """In drift, after rows were given their labels and before the labels themselves are stored."""
    from drift.database import places

    add = places.add_labels

    def dying(*args: Any) -> None:
        die()
        add(*args)

    places.add_labels = dying


def before_commit(die: Callable[[], None]) -> None:
    """After the transaction, before the offset is committed."""
    commit = Subscription._commit

    async def dying(self: Any, message: Any) -> None:
        die()
        await commit(self, message)

    Subscription._commit = dying  # type: ignore[method-assign]
    commit_batch = StreamConsumer._commit

    def dying_batch(self: Any, *args: Any) -> None:
        die()
        commit_batch(self, *args)

    StreamConsumer._commit = dying_batch  # type: ignore[method-assign]


def before_mark(die: Callable[[], None]) -> None:
    """In the relay, after the broker has acknowledged and before the rows are marked."""
    mark = Relay._mark

    def dying(self: Any, ids: list[int]) -> None:
        die()
        mark(self, ids)

    Relay._mark = dying  # type: ignore[method-assign]


def before_result(die: Callable[[], None]) -> None:
    """In a worker, after the long work and before its result is recorded."""
    settle = JobWorker._settle

    def dying(self: Any, run: Any, record: Any) -> None:
        die()
        settle(self, run, record)

    JobWorker._settle = dying  # type: ignore[method-assign]


def in_each_step(die: Callable[..., None]) -> None:
    """In the transaction of each step of a rollout, after everything is written, once a step."""
    _at_steps(lambda session, name: die(name))


def after_each_step(die: Callable[..., None]) -> None:
    """After the commit of each step of a rollout, before anything else, once a step."""
    from gatekeeper.telemetry import after_commit

    _at_steps(lambda session, name: after_commit(session, lambda: die(name)))


def _at_steps(hook: Callable[[Any, str], None]) -> None:
    from gatekeeper.database.rollout_recorder import RolloutRecorder

    audit = RolloutRecorder._audit

    def dying(self: Any, session: Any, action: str, row: Any, *args: Any) -> None:
        audit(self, session, action, row, *args)
        session.flush()
        hook(session, f"{row.stage}-{row.step}")

    RolloutRecorder._audit = dying  # type: ignore[method-assign]


def from_outside(_die: Callable[[], None]) -> None:
    """Nowhere: the test kills it, or lets it hang."""


def leave_little_to_wait_for() -> None:
    """Leases and group membership of the dead run out sooner than in production, for who takes over."""
    chassis.relay.LEASE = SHORT
    chassis.bus.SESSION_MS, chassis.bus.HEARTBEAT_MS = int(1000 * SHORT.total_seconds()), 500
    init = Jobs.__init__

    def short(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **{**options, "lease": SHORT})

    Jobs.__init__ = short  # type: ignore[method-assign]


POINTS = {
    point.__name__: point
    for point in (
        before_transaction,
        before_batch_commit,
        within_append,
        within_labels,
        before_commit,
        before_mark,
        before_result,
        in_each_step,
        after_each_step,
        from_outside,
    )
}


def main(point: str, flag: str, module: str) -> None:
    def die(name: str | None = None) -> None:
        """Die, once in this process; of a point with a `name`, once for all processes with flags in the folder."""
        try:
            (Path(flag) if name is None else Path(flag).with_name(f"died-at-{name}")).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    leave_little_to_wait_for()
    POINTS[point](die)
    raise SystemExit(importlib.import_module(module).main())


if __name__ == "__main__":
    main(*sys.argv[1:])
