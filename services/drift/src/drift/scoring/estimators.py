"""What is fitted on golden predictions: the calibration of scores, the model of losses, and limits of the predictions.

scikit-learn is imported when the first window is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from contracts import OutputFormat
from contracts.forecasts import pinball, quantile_of, smape
from contracts.labels import BINARY, UNKNOWN, ClassLabels
from drift.database.window_rows import PredictedColumns
from drift.policy.predictions import LEAST_NORM, Distribution, Floats, distance
from drift.policy.proxy import OF_CLASSES, Proxy, estimate_of_classes, estimate_of_losses
from drift.scoring.golden import Golden, numbers_of
from drift.scoring.performance import measure

FOLDS = 5
LEAST_ROWS = 200
"""Golden rows, below which nothing is estimated."""
MOST_CODES = 200
"""Categories of a column that the model of losses distinguishes."""
SEED = 14
MOST_COMPARED = 20_000
"""Rows of a row split."""

Estimate = Callable[[PredictedColumns, pd.DataFrame], Proxy | None]


@dataclass(frozen=True)
class Fitted:
    """An estimator of one metric, and its errors (observed − estimated) on golden rows that it was not fitted on.

    `errors`: on windows of consecutive golden rows; none if they are too few, or have no time. `why`: why there is no
    estimator.
    """

    estimate: Estimate | None
    errors: tuple[float, ...] = ()
    why: str = ""


def fit(golden: Golden, metric: str, output: OutputFormat | None, window_rows: int) -> Fitted:
    """Fit the estimator of a metric on golden predictions, for windows of so many rows."""
    if len(golden.answered) < LEAST_ROWS:
        return Fitted(
            None, why=f"there are {len(golden.answered)} golden predictions, at least {LEAST_ROWS} are needed"
        )
    make = _classes(metric, output) if metric in OF_CLASSES else _losses(metric)
    if make is None:
        return Fitted(None, why=f"there is no estimate of {metric} without labels")
    every = np.arange(len(golden.answered))
    estimate = make(golden, every)
    if estimate is None:
        return Fitted(None, why="the golden predictions carry no scores, or labels of one class only")
    errors: list[float] = []
    for start in range(0, len(every) - window_rows + 1, window_rows) if golden.in_time else ():
        block, others = every[start : start + window_rows], np.delete(every, slice(start, start + window_rows))
        without = make(golden, others) if len(others) >= LEAST_ROWS else None
        rows = [golden.answered[place] for place in block]
        observed = measure(metric, len(rows), rows, output).observed
        said = PredictedColumns(golden.predicted.scores[block], golden.predicted.answers.iloc[block])
        found = without and without(said, golden.features.iloc[block])
        if observed is not None and found is not None:
            errors.append(observed - found.raw)
    return Fitted(estimate, tuple(errors))


def row_splits(reference: Distribution, rows: int, splits: int) -> Floats:
    """Return the distances of windows without drift: rows drawn at random from those of the reference, (splits,).

    Of numbers to within what 1/rows of them make: the reference is taken at as many quantiles as there are rows.
    """
    random, rows = np.random.default_rng(SEED), min(rows, MOST_COMPARED)
    if reference.numbers is not None:
        at_ranks = np.quantile(reference.numbers, (np.arange(rows) + 0.5) / rows)
        norm = max(float(np.std(reference.numbers)), LEAST_NORM)
        drawn = (np.sort(random.choice(reference.numbers, rows)) for _ in range(splits))
        return np.array([np.abs(each - at_ranks).mean() / norm for each in drawn])
    names, counts = list(reference.classes or {}), np.array(list((reference.classes or {}).values()))
    found = []
    for numbers in random.multinomial(rows, counts / counts.sum(), splits):
        named = zip(names, numbers, strict=True)
        found.append(distance(reference, Distribution(classes={name: float(number) for name, number in named})))
    return np.array([each for each in found if each is not None])


def _classes(metric: str, output: OutputFormat | None) -> Callable[[Golden, np.ndarray], Estimate | None] | None:
    if output is not None and output.problem != "binary":
        return None
    known = ClassLabels((output.classes if output is not None else ()) or BINARY)

    def make(golden: Golden, places: np.ndarray) -> Estimate | None:
        from sklearn.isotonic import IsotonicRegression

        pairs = [(row.score, known.number(row.truth)) for row in (golden.answered[place] for place in places)]
        usable = np.array([pair for pair in pairs if pair[0] is not None and pair[1] != UNKNOWN], dtype=np.float64)
        if len(usable) < LEAST_ROWS or len(np.unique(usable[:, 1])) < 2:
            return None
        calibration = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(usable[:, 0], usable[:, 1])

        def estimate(rows: PredictedColumns, _features: pd.DataFrame) -> Proxy | None:
            scores = rows.scores[np.isfinite(rows.scores)]
            return estimate_of_classes(metric, scores, calibration.predict(scores)) if len(scores) else None

        return estimate

    return make


def _losses(metric: str) -> Callable[[Golden, np.ndarray], Estimate | None] | None:
    of_row = _loss_of(metric)
    if of_row is None:
        return None

    def make(golden: Golden, places: np.ndarray) -> Estimate | None:
        truth = numbers_of(pd.Series([golden.answered[place].truth for place in places]))
        said = numbers_of(golden.predicted.answers.iloc[places])
        losses = of_row(truth, said)
        usable = np.isfinite(losses)
        if usable.sum() < LEAST_ROWS:
            return None
        encode = _encoder(golden.features.iloc[places])
        inputs = np.column_stack([encode(golden.features.iloc[places]), said])
        model, residual = _fit_losses(inputs[usable], losses[usable])

        def estimate(rows: PredictedColumns, features: pd.DataFrame) -> Proxy | None:
            answers = numbers_of(rows.answers)
            known = np.isfinite(answers)
            predicted = model(np.column_stack([encode(features), answers])[known]) if known.any() else answers[:0]
            return estimate_of_losses(metric, np.maximum(0.0, predicted), residual)

        return estimate

    return make


def _fit_losses(inputs: Floats, losses: Floats) -> tuple[Callable[[Floats], Floats], float]:
    """Return the model of a row's loss, and the variance of losses around predictions of models without these rows."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold, cross_val_predict

    def made() -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=15, min_samples_leaf=50, random_state=SEED)

    apart = cross_val_predict(made(), inputs, losses, cv=KFold(FOLDS, shuffle=True, random_state=SEED))
    fitted = made().fit(inputs, losses)
    return fitted.predict, float(np.mean((losses - apart) ** 2))


def _loss_of(metric: str) -> Callable[[Floats, Floats], Floats] | None:
    if (quantile := quantile_of(metric)) is not None:
        return lambda truth, said: pinball(truth, said, quantile)
    return {
        "mae": lambda truth, said: np.abs(truth - said),
        "rmse": lambda truth, said: (truth - said) ** 2,
        "mape": _relative,
        "smape": smape,
    }.get(metric)


def _relative(truth: Floats, said: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(truth - said) / np.abs(truth)


def _encoder(reference: pd.DataFrame) -> Callable[[pd.DataFrame], Floats]:
    """Return what encodes rows as numbers: categories by their rank of frequency in the reference, others as −1."""
    codes: dict[str, dict[str, int] | None] = {}
    for name in reference.columns:
        if pd.api.types.is_numeric_dtype(reference[name].dtype):
            codes[name] = None
        else:
            frequent = reference[name].astype(str).value_counts().index[:MOST_CODES]
            codes[name] = {value: place for place, value in enumerate(frequent)}

    def encode(features: pd.DataFrame) -> Floats:
        columns = []
        for name, known in codes.items():
            if name not in features.columns:
                columns.append(np.full(len(features), np.nan))
            elif known is None:
                columns.append(numbers_of(features[name]))
            else:
                places, values = pd.factorize(features[name])
                columns.append(np.array([*(known.get(str(value), -1.0) for value in values), -1.0])[places])
        return np.column_stack(columns) if columns else np.empty((len(features), 0))

    return encode
