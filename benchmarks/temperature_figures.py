"""The figures of examples/temperature.md: `python -m benchmarks.temperature_figures`.

Each month's golden rows, with the model of the three months before: against naive forecasts, and against the model of
the month before, by rows and by moving blocks of time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from contracts.forecasts import naive_error, values_before
from contracts.gate_settings import Performance
from examples.temperature import recipe
from gatekeeper.policy.gates import performance
from gatekeeper.policy.gates.performance import Facts
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions, Series

FEATURES = list(recipe.features)
SETTINGS = Performance(rule="superior")


def order(golden: pd.DataFrame) -> Series:
    labels = golden[recipe.label].tolist()
    before = values_before(labels, golden["issued_at"].tolist(), golden["airport"].tolist())
    return Series(np.array(before), naive_error(labels, before), pd.factorize(golden["issued_at"], sort=True)[0])


def verdict(golden: pd.DataFrame, both: list[Predictions], series: Series) -> str:
    """Return the difference with its bounds, and the outcome."""
    clusters = None if series.at is None else pd.factorize(golden["airport"])[0]
    truth = golden[recipe.label].to_numpy()
    found = performance.decide(
        Facts("regression", "mae", None, truth, *both, 1, clusters=clusters, series=series), SETTINGS
    )
    told = found.details
    return f"{told['difference']:+.3f} ({told['lower']:+.3f}, {told['upper']:+.3f}) {found.outcome.value}"


def print_figures() -> None:
    windows = list(recipe.windows())
    frames = {window: recipe.load(window) for window in windows}
    models = {
        window: recipe.train(pd.concat([frames[windows[at - back]] for back in (3, 2, 1)]))
        for at, window in enumerate(windows)
        if at >= 3
    }
    print("| golden | rows | now | a day before | model | MASE | directional accuracy | MAPE |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for window, model in models.items():
        golden = frames[window]
        truth = golden[recipe.label].to_numpy()
        of = estimates.all_metrics("regression", truth, Predictions(model.predict(golden[FEATURES])), order(golden))
        now, day = (np.nanmean(np.abs(golden[name] - truth)) for name in ("temp", "temp_day_before_then"))
        print(
            f"| {window[-2:]} | {len(golden)} | {now:.2f} | {day:.2f} | {of['mae']:.2f} | {of['mase']:.2f} |"
            f" {of['directional_accuracy']:.3f} | {of['mape']:.1%} |"
        )
    print("\n| golden | blocks | newest against the month before's, by moving blocks | by rows |\n|---|--:|---|---|")
    for before, window in zip(list(models)[:-1], list(models)[1:], strict=True):
        golden, series = frames[window], order(frames[window])
        truth = golden[recipe.label].to_numpy()
        both = [Predictions(models[name].predict(golden[FEATURES])) for name in (window, before)]
        length = estimates.difference("mae", truth, *both, SETTINGS.alpha, series=series).units.length
        by_rows = verdict(golden, both, Series(series.before, series.scale))
        print(f"| {window[-2:]} | {length} | {verdict(golden, both, series)} | {by_rows} |")


if __name__ == "__main__":
    print_figures()
