"""Microseconds per call of every form of one model: gradient boosting of 20 features, 4 of them categories.

`python -m benchmarks.forms`. Rows differ from call to call, as requests do: a repeated row is predicted twice as fast,
since the processor's branch predictor has learned its path through the trees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from forms import Column, ParityReport, Row, candidates, parity_rows, prove

NUMBERS = [f"number{place}" for place in range(16)]
WORDS = [f"word{place}" for place in range(4)]
KINDS = (3, 12, 60, 200)
"""Words in each of the four columns."""
COLUMNS = [Column(name, "double") for name in NUMBERS] + [Column(name, "string") for name in WORDS]
BATCHES = (1, 30, 100)
ROWS = 6000
REPEATS = 7


def fitted() -> tuple[Pipeline, pd.DataFrame]:
    """Return the model and the table it was fitted on: 100 trees of 31 leaves."""
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(chance.normal(size=(ROWS, len(NUMBERS))), columns=NUMBERS)
    frame = frame.mask(chance.random(frame.shape) < 0.03)
    for name, kinds in zip(WORDS, KINDS, strict=True):
        frame[name] = pd.Series(chance.integers(0, kinds, ROWS).astype(str), dtype=object)
    known = frame[NUMBERS].fillna(0)
    sums = known["number0"] + known["number1"] * known["number2"] + frame["word0"].eq("1")
    sums += frame["word3"].astype(int) % 3 == 0
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    model = Pipeline(
        [
            ("columns", ColumnTransformer([("words", encode, WORDS)], remainder="passthrough")),
            ("trees", HistGradientBoostingClassifier(categorical_features=[0, 1, 2, 3], early_stopping=False)),
        ]
    )
    return model.fit(frame, sums + chance.normal(size=ROWS) > 0.5), frame


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    arrays = zip(COLUMNS, zip(*rows, strict=True), strict=True)
    return pd.DataFrame(
        {column.name: np.array(values, "float64" if column.kind == "double" else object) for column, values in arrays}
    )


def microseconds(ask: Callable[[Any], Any], batches: Sequence[Any]) -> float:
    """Time one call: the best of several passes over `batches`."""
    passes = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for batch in batches:
            ask(batch)
        passes.append((time.perf_counter() - began) / len(batches) * 1e6)
    return min(passes)


def main() -> None:
    with threadpool_limits(limits=1):
        model, frame = fitted()
        rows: list[Row] = [
            tuple(None if value is None or value != value else value for value in row)
            for row in frame.itertuples(index=False, name=None)
        ]
        forms, refused = candidates(model, COLUMNS, "predict_proba")
        tried = rows + parity_rows(rows, COLUMNS)
        expected = model.predict_proba(to_frame(tried))

        def whole(batch: Sequence[Row]) -> Any:
            return model.predict_proba(to_frame(batch))

        ways: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any], str]] = [
            ("rows → DataFrame → pipeline", whole, list, ""),
            ("pipeline on a DataFrame", model.predict_proba, to_frame, ""),
        ]
        for form in forms:
            proof = prove(form, tried, expected)
            if not isinstance(proof, ParityReport):
                print(f"{form.name}: {proof.reason}")
                continue
            shown = f"{proof.labels_differ} of {proof.rows:,}; {proof.largest_difference:.1g}"
            ways.append((f"form `{form.name}`", form.predict, list, shown))
        print("| µs a call | " + " | ".join(f"{size} rows" if size > 1 else "1 row" for size in BATCHES), end=" | ")
        print("labels that differ; largest difference |")
        print("|---|" + "--:|" * len(BATCHES) + "---|")
        for name, ask, prepare, shown in ways:
            cells = []
            for size in BATCHES:
                calls = 20 if "form" not in name or "numpy" in name else 200
                starts = [number * size % (ROWS - size) for number in range(calls)]
                cells.append(f"{microseconds(ask, [prepare(rows[at : at + size]) for at in starts]):,.0f}")
            print(f"| {name} | " + " | ".join(cells) + f" | {shown} |", flush=True)
        for each in refused:
            print(f"\n`{each.form}` refused: {each.reason}")


if __name__ == "__main__":
    main()
