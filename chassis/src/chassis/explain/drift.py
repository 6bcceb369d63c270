"""What a policy has watched in production, in words."""

from __future__ import annotations

from collections.abc import Iterator

from chassis.explain.quantities import counted, duration
from contracts.drift_settings import After, Drift, drop_in_words
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy

Sentence = tuple[str, str]


def drift_in_words(policy: ModelPolicy) -> Iterator[Sentence]:
    """Return (subject, sentence) for the sections `drift` and `benchmark`."""
    drift = policy.drift
    yield "drift", f"{_data(policy)} {_announced(policy)}"
    yield "drift of the performance", _performance(policy)
    if drift.alerts:
        yield "drift alerts", f"Drift of the performance, too, is labelled rows with {_alerts(drift)}."
    yield "benchmark", _benchmark(policy)


def _data(policy: ModelPolicy) -> str:
    drift = policy.drift
    size = (
        f"Each {drift.window.rows:,} predicted rows are compared with the rows that the champion was trained on"
        f"{_else(policy)}."
    )
    if drift.drift_share is not None:
        return (
            f"{size} They have drifted when {drift.drift_share:.0%} of the columns are beyond the fixed limit 0.1; how"
            " often that happens without drift is not planned."
        )
    return (
        f"{size} They have drifted when a column is beyond its limit; the limits are calibrated so that this happens"
        f" to {counted(drift.budget.false_alarms, 'window')} in {drift.budget.per_windows} without drift."
    )


def _else(policy: ModelPolicy) -> str:
    """Return what takes the place of training rows that only the trainer registers by itself."""
    if policy.recipe is not None:
        return ""
    return (
        f" (gauntlet register {policy.model} VERSION --reference FILE, or those that MLflow has of it); where they are"
        " not known, with its golden rows, and without these features are not watched"
    )


def _announced(policy: ModelPolicy) -> str:
    drift = policy.drift
    when = (
        "Each window that has drifted is announced"
        if drift.after == After(1, 1)
        else f"It is announced when {drift.after} windows have drifted, the newest included"
    )
    if policy.recipe is None:
        then = "; nothing is trained (there is no recipe to train with)"
    elif drift.retrain == "on harmful":
        then = f", and {policy.model} is trained again if the drift is estimated to be harmful"
    else:
        then = f", and {policy.model} is trained again"
    earliest = f"{drift.after.drifted * drift.window.rows:,} rows after it began at the earliest"
    return f"{when}, {earliest}{then}; for one version at most once in {duration(drift.cooldown)}."


def _performance(policy: ModelPolicy) -> str:
    if policy.states_metric and METRICS[policy.metric].of_every_class:
        return f"{policy.metric} is not watched: predictions do not carry the score of each class."
    metric = policy.metric if policy.states_metric else "its metric"
    then = f"; {policy.model} is then trained again" if policy.recipe else ""
    return (
        f"Drift, too, is when {metric} on labelled rows is shown to be worse than at promotion by more than"
        f" {drop_in_words(policy.drift.metric_drop)}{then}."
    )


def _alerts(drift: Drift) -> str:
    return " or ".join(
        f"{metric} {'below' if METRICS[metric].greater_is_better else 'above'} {worst:g}"
        for metric, worst in drift.alerts.items()
    )


def _benchmark(policy: ModelPolicy) -> str:
    benchmark = policy.benchmark
    if benchmark is None:
        return "Off: the champion is not compared with earlier versions and a trivial baseline at intervals."
    lost = (
        "if it does not win against the baseline, a tournament follows"
        if benchmark.tournament
        else "if it does not win against the baseline, this is an alert"
    )
    return (
        f"Every {duration(benchmark.every)} the champion, earlier versions and a trivial baseline are compared on the"
        f" newest labelled rows, at most {benchmark.max_rows:,}; {lost}."
    )
