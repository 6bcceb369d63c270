"""The cost of traces: a handled event and the event that it emits, with traces off and on, in turns.

`python -m benchmarks.tracing_cost [--pairs 20] [--events 300]` prints a Markdown table. Each side is the real work of
a service for one lifecycle event: a transaction of its database (SQLite, on disk) with inbox, a job and the outbox,
where the span of the handler, of the created event and of the job belong to it. Spans go to a receiver over HTTP in a
process of its own. Predictions are not traced, so a request costs the same either way.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chassis import tracing
from chassis.database import Database
from chassis.inbox import first_time
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from contracts import TrainingFailed, new_envelope

WARM_UP = 200


def handle(database: Database, jobs: Jobs, outbox: Outbox, events: int) -> float:
    """Return the seconds that handling so many events takes."""
    event = TrainingFailed(model_name="m", job_id="j", reason="because")
    began = time.perf_counter()
    for number in range(events):
        cause = new_envelope(event, source="benchmark")
        handled = tracing.processing(cause, "training", group="g", partition=0, offset=number)
        with handled, database.transaction() as session:
            first_time(session, cause)
            jobs.enqueue(session, kind="k", key="m", payload={}, cause=cause)
            outbox.emit(session, event, cause=cause)
        job = jobs.claim(["k"])
        assert job is not None
        with tracing.job(job.kind, job.id, job.key, job.attempts, job.cause), database.transaction() as session:
            jobs.end(session, job)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--events", type=int, default=300)
    options = parser.parse_args()
    command = [sys.executable, "-m", "support.otlp_receiver", "0"]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    endpoint = receiver.stdout.readline().strip()
    sink = subprocess.Popen(["cat"], stdin=receiver.stdout, stdout=subprocess.DEVNULL)
    ratios, off, on = [], [], []
    try:
        with tempfile.TemporaryDirectory() as folder:
            database = Database(f"sqlite:///{Path(folder) / 'benchmark.db'}")
            database.migrate("trainer")
            parts = (database, Jobs(database, owner="benchmark"), Outbox("benchmark"))
            handle(*parts, WARM_UP)
            for pair in range(options.pairs):
                for is_on in (True, False) if pair % 2 else (False, True):
                    if is_on:
                        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
                        tracing.start("benchmark")
                        handle(*parts, 20)
                    (on if is_on else off).append(handle(*parts, options.events) / options.events * 1e3)
                    tracing.stop()
                ratios.append(on[-1] / off[-1])
            database.close()
    finally:
        for process in (receiver, sink):
            process.terminate()
            process.wait()
    print("| traces | ms an event and its job, median |\n|---|---|")
    print(f"| off | {statistics.median(off):.3f} |\n| on | {statistics.median(on):.3f} |")
    low, high = min(ratios), max(ratios)
    print(
        f"\non/off within a pair: median {statistics.median(ratios):.3f}, {low:.3f} to {high:.3f}, {len(ratios)} pairs"
    )


if __name__ == "__main__":
    main()
