"""Gate: the model does not break its downstream consumers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Consumer, Dependents
from contracts.policy import ModelPolicy
from gatekeeper.policy.gates import leakage
from gatekeeper.policy.measurement_error import MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Section, Table
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions, Series, Unmeasurable
from gatekeeper.policy.statistics.metrics import trivial

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "dependents"
needs = frozenset({Need.CANDIDATE, Need.CHAMPION, Need.TRAINING_KEYS})

ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Facts:
    """Declared output of each model, and both models' predictions on the clean golden rows.

    `clusters`, `series`: as of the performance gate; None in evidence before format 4, whose bounds were over rows.
    """

    measurement_error: MeasurementError | None = None
    truth: NDArray[Any] | None = None
    challenger: Predictions | None = None
    champion: Predictions | None = None
    champion_version: int | None = None
    challenger_output: str | None = None
    champion_output: str | None = None
    clusters: NDArray[Any] | None = None
    series: Series | None = None


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    measurement_error = measurements.other_error()
    if measurement_error is not None:
        return Facts(measurement_error)
    clean, source = leakage.clean_rows(measurements, policy), measurements.golden_source
    clusters = measurements.clusters if source is not None and source.ordered else None
    return Facts(
        **measurements.compared(clean),
        clusters=None if clusters is None else clusters[clean],
        series=measurements.series(clean) if source is not None and source.ordered else None,
        challenger_output=measurements.description.outputs,
        champion_output=measurements.champion_description.outputs if measurements.champion_description else None,
    )


def decide(facts: Facts, settings: Dependents) -> GateVerdict:
    """Fail if the declared output differs, the scores shift, or a consumer's decisions change too much."""
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.champion_version is None:
        return GateVerdict(gate=name, outcome=Outcome.PASSED, reason="no champion yet that anything depends on")
    if facts.truth is None or facts.challenger is None or facts.champion is None or len(facts.truth) == 0:
        reason = f"champion v{facts.champion_version} and the candidate have not both answered clean golden rows"
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=reason)
    mine, theirs = _numbers(facts.challenger), _numbers(facts.champion)
    shift = _shift(mine, theirs)
    details: dict[str, Any] = {"shift": shift, "consumers": {}}
    problems: list[str] = []
    if facts.challenger_output != facts.champion_output:
        problems.append(
            f"its output is {facts.challenger_output}, champion v{facts.champion_version}'s {facts.champion_output}"
        )
    if shift > settings.max_shift:
        problems.append(
            f"its scores are distributed otherwise: Kolmogorov–Smirnov distance {shift:.4f},"
            f" {settings.max_shift:g} are allowed"
        )
    try:
        for consumer in settings.consumers:
            details["consumers"][consumer.name], complaints = _consumer(
                consumer, facts, facts.truth, mine, theirs, settings
            )
            problems += [f"{consumer.name}: {complaint}" for complaint in complaints]
    except Unmeasurable as error:
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=str(error), details=details)
    consumers = f"{len(settings.consumers)} consumers unharmed"
    told = f"same output, distance of the scores {shift:.4f} ({settings.max_shift:g} allowed), {consumers}"
    return GateVerdict(
        gate=name,
        outcome=Outcome.FAILED if problems else Outcome.PASSED,
        reason="; ".join(problems) or told,
        metric="Kolmogorov–Smirnov distance",
        observed=shift,
        bound=settings.max_shift,
        n=len(facts.truth),
        details=details,
    )


def _consumer(
    consumer: Consumer,
    facts: Facts,
    truth: NDArray[Any],
    mine: NDArray[Any],
    theirs: NDArray[Any],
    settings: Dependents,
) -> tuple[dict[str, Any], list[str]]:
    """Compare a consumer's decisions with either model; return the details and the excessive differences."""
    if consumer.threshold is None:
        return {}, []
    acts, acted = mine >= consumer.threshold, theirs >= consumer.threshold
    share, before = float(acts.mean()), float(acted.mean())
    found: dict[str, Any] = {"flagged": share, "flagged_before": before}
    complaints: list[str] = []
    if consumer.flagged_change is not None and abs(share - before) > consumer.flagged_change:
        complaints.append(
            f"at {consumer.threshold:g} it would act on {share:.1%} of rows instead of {before:.1%};"
            f" {consumer.flagged_change:.1%} of change are allowed"
        )
    if consumer.chain_metric is not None:
        pair = _decisions(acts), _decisions(acted)
        chain = estimates.difference(consumer.chain_metric, truth, *pair, ALPHA, facts.clusters, facts.series)
        margin = settings.margin_share * max(0.0, chain.second - trivial(consumer.chain_metric, truth))
        found |= {"metric": consumer.chain_metric, "value": chain.first, "before": chain.second}
        found |= {"lower": chain.lower, "margin": margin}
        if chain.lower < -margin:
            complaints.append(
                f"{consumer.chain_metric} of its decisions is {chain.first:.4f} instead of {chain.second:.4f},"
                f" not shown to be worse by at most {margin:.4f}"
            )
    return found, complaints


def _decisions(acts: NDArray[np.bool_]) -> Predictions:
    return Predictions(labels=acts.astype(np.int64), scores=acts.astype(np.float64))


def _shift(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples."""
    from scipy.stats import ks_2samp  # takes a second to import: on the first verdict, not at startup

    return float(ks_2samp(mine, theirs).statistic)


def _numbers(answers: Predictions) -> NDArray[np.float64]:
    """Return one number per row: the score of class 1, the highest of several scores, or the predicted number."""
    if answers.scores is None:
        return np.asarray(answers.labels, dtype=np.float64)
    return np.asarray(answers.scores if answers.scores.ndim == 1 else answers.scores.max(axis=1), dtype=np.float64)


def section(verdict: GateVerdict) -> Section:
    """Show each consumer's decisions, before and after."""
    consumers = verdict.details.get("consumers", {})
    rows = tuple(
        (consumer, found.get("flagged_before"), found.get("flagged"), found.get("before"), found.get("value"))
        for consumer, found in consumers.items()
    )
    columns = ("consumer", "acted on, before", "after", "its metric, before", "after")
    return Section(tables=(Table("Consumers", columns, rows),) if rows else ())
