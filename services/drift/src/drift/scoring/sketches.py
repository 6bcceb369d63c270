"""Sketches of the columns of past windows, as bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import orjson

from drift.scoring.summaries import CategorySummary, NumberSummary, Summary, sketch_of


def dumps(summaries: Mapping[str, Summary]) -> bytes:
    """Return compressed sketches: 2,048 numbers or 4,096 categories a column at most."""
    points = [np.zeros(0)]
    columns = []
    for name, whole in summaries.items():
        sketch = sketch_of(whole)
        if isinstance(sketch, NumberSummary):
            points.append(sketch.points)
            columns.append([name, sketch.missing, sketch.present, len(sketch.points)])
        else:
            columns.append([name, sketch.missing, sketch.other, sketch.counts])
    written = io.BytesIO()
    header = np.frombuffer(orjson.dumps(columns), dtype=np.uint8)
    np.savez_compressed(written, header=header, points=np.concatenate(points))
    return written.getvalue()


def loads(written: bytes) -> dict[str, Summary]:
    with np.load(io.BytesIO(written), allow_pickle=False) as arrays:
        columns, points = orjson.loads(arrays["header"].tobytes()), arrays["points"]
    found: dict[str, Summary] = {}
    at = 0
    for name, missing, number, content in columns:
        if isinstance(content, dict):
            found[name] = CategorySummary(content, missing, number)
        else:
            found[name] = NumberSummary(points[at : at + content], number, missing)
            at += content
    return found
