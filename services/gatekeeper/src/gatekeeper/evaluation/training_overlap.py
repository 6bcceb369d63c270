"""Find the golden rows that a model was trained on, by the row keys stored at training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from chassis.errors import Permanent
from chassis.mlmodel import MLmodel
from chassis.parquet import read_frame
from chassis.row_keys import Keys, TrainedOn, as_utc, row_keys
from chassis.signature_frame import fitted_where_possible
from contracts import Dataset, ModelRegistered
from gatekeeper.evaluation.golden_rows import GoldenRows, kinds_of
from gatekeeper.policy.gates.leakage import ENTITY, EXACT, ROUNDED, TIME, Mask, Overlap

CONVENTION = "datasets/training_keys.parquet"
"""Default path of the keys in a run, if no event names one."""

Fetch = Callable[[str, str | None], tuple[Path, str]]


def find(event: ModelRegistered, description: MLmodel, rows: GoldenRows, fetch: Fetch) -> Overlap:
    """Compute the overlap from the keys of the version or its run, else from its training rows. Raises Transient."""
    tried: list[str] = []
    sources: list[tuple[Dataset | str, bool]] = []
    if event.training_keys is not None:
        sources.append((event.training_keys, True))
    elif event.run_id is not None:
        sources.append((f"runs:/{event.run_id}/{CONVENTION}", True))
    if event.training is not None:
        sources.append((event.training, False))
    for source, are_keys in sources:
        uri, digest = (source, None) if isinstance(source, str) else (source.uri, source.digest)
        try:
            path, found = fetch(uri, digest)
            if digest is not None and found != digest:
                raise ValueError(f"its digest is {found}, not the registered {digest}")
            trained = TrainedOn.read(path) if are_keys else _of_rows(path, description, rows)
            return compare(trained, rows, description)
        except (Permanent, ValueError) as error:
            tried.append(f"{uri}: {error}")
    why = "; ".join(tried) or "the version names neither a run nor training data"
    return Overlap(
        unknown=f"the rows it was trained on are not known ({why}); see docs/how-to/your-model.md, Training keys"
    )


def compare(trained: TrainedOn, rows: GoldenRows, description: MLmodel | None = None) -> Overlap:
    """Compare row keys. Raises ValueError if the golden rows lack a column that the keys were made from.

    A key depends on the type of a value. The golden rows are keyed as they are in their file, and in the types of the
    signature: a decimal of Spark is the number that the model was trained on.
    """
    entity = rows.entity if trained.entity is not None and rows.entity in rows.rows.columns else None
    keys = row_keys(rows.rows, trained.columns, entity)
    typed = row_keys(fitted_where_possible(rows.rows, kinds_of(description or MLmodel())), trained.columns)
    masks: dict[str, Mask] = {
        EXACT: np.isin(keys.exact, trained.exact) | np.isin(typed.exact, trained.exact),
        ROUNDED: np.isin(keys.rounded, trained.rounded) | np.isin(typed.rounded, trained.rounded),
    }
    if keys.entity is not None and trained.entity is not None:
        masks[ENTITY] = np.isin(keys.entity, trained.entity)
    later: bool | None = None
    if trained.last_event_time is not None and rows.event_time in rows.rows.columns:
        times = pd.to_datetime(rows.rows[rows.event_time], utc=True)
        masks[TIME] = (times <= pd.Timestamp(as_utc(trained.last_event_time))).to_numpy()
        later = not bool(masks[TIME].any())
    shared = {EXACT: _shared(keys.exact), ROUNDED: _shared(keys.rounded)}
    return Overlap(rows=trained.rows, masks=masks, shared=shared, later=later)


def _shared(keys: Keys) -> float:
    """Return the share of rows whose key another row also has."""
    _, number, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return float((counts[number] > 1).mean()) if len(keys) else 0.0


def _of_rows(path: Path, description: MLmodel, rows: GoldenRows) -> TrainedOn:
    try:
        frame = read_frame(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"it is no readable Parquet file: {error}") from error
    frame = fitted_where_possible(frame, kinds_of(description))
    columns = [name for name in rows.features_of(description) if name in frame.columns]
    if not columns:
        raise ValueError("it shares no feature with the golden rows")
    entity = rows.entity if rows.entity in frame.columns else None
    return TrainedOn.of(frame, columns, entity, rows.event_time if rows.event_time in frame.columns else None)
