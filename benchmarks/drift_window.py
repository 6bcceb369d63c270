"""One step of `drift_cost`'s window: `fill` a window of a database, or `judge` it, in a process of its own."""

from __future__ import annotations

import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import select

from chassis.database import Database
from drift.database import store, window_rows
from drift.database.columns import Made, columns_of
from drift.database.tables import WindowRow
from drift.ingestion import rows as ingestion

ROWS, NUMBERS, CATEGORIES, BATCH = 1_000_000, 12, 8, 5000
REFERENCE = 5000


def frame(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Twelve numbers and eight categories of 2 to 60 levels."""
    numbers = {f"number{place}": rng.normal(size=rows) for place in range(NUMBERS)}
    levels = np.linspace(2, 60, CATEGORIES).astype(int)
    texts = {
        f"text{place}": np.array([f"level {level}" for level in range(count)], dtype=object)[
            rng.integers(0, count, rows)
        ]
        for place, count in enumerate(levels)
    }
    return pd.DataFrame(numbers | texts)


def fill(database: Database) -> None:
    """Through ingestion, in batches as they come from Kafka."""
    rng, now = np.random.default_rng(0), datetime.now(UTC)
    for start in range(0, ROWS, BATCH):
        rows = [
            Made("flights", 1, f"request-{start}", number, start + number, None, None, None, now, 0.5, 1, features)
            for number, features in enumerate(frame(BATCH, rng).to_dict("records"))
        ]
        with database.transaction() as session:
            model = store.lock_model(session, "flights")
            ingestion.take_predictions(session, model, {1: columns_of(rows)}, ROWS, now)


def judge(database: Database) -> None:
    """As the job does: read the window, score it against the reference, decide."""
    from drift.policy.windows import judge_data
    from drift.scoring.scores import compare

    reference = frame(REFERENCE, np.random.default_rng(1))
    compare(reference, reference)  # the libraries are imported, and their caches filled
    before, began, cpu = _peak(), time.perf_counter(), time.process_time()
    with database.reading() as session:
        window = session.scalars(select(WindowRow)).one()
        current = window_rows.features(session, window, list(reference.columns))
    read, read_cpu = time.perf_counter(), time.process_time()
    comparison = compare(reference, current)
    judge_data(window.rows, comparison.scores, 0.5, comparison.nothing)
    judged, judged_cpu = time.perf_counter(), time.process_time()
    print(f"| read | {read - began:.2f} | {read_cpu - cpu:.2f} | |")
    print(f"| score and decide | {judged - read:.2f} | {judged_cpu - read_cpu:.2f} | |")
    print(f"| judged in all | {judged - began:.2f} | {judged_cpu - cpu:.2f} | {_peak() - before:,.0f} |")


def _peak() -> float:
    """Return the highest memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(step: str, path: str) -> None:
    database = Database(f"sqlite:///{path}")
    if step == "judge":
        return judge(database)
    database.migrate("drift")
    began = time.perf_counter()
    fill(database)
    seconds, size = time.perf_counter() - began, Path(path).stat().st_size / 1024 / 1024
    print(f"| fill, {size:,.0f} MiB on disk | {seconds:.1f} | {time.process_time():.1f} | |")
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
