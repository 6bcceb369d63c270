"""The results of a benchmark: the figures of each version and baseline, as benchmark_results.json has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contracts import BenchmarkDue, BenchmarkFigure, GateVerdict, Outcome
from contracts.gate_settings import Performance
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence.document import versions
from gatekeeper.policy import benchmark, tournament
from gatekeeper.policy.benchmark import Facts, Verdict
from gatekeeper.policy.gates import leakage
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Unmeasurable
from gatekeeper.policy.statistics.units import units_of
from gatekeeper.tournaments import comparison
from gatekeeper.tournaments.comparison import EntrantPredictions, TournamentInput

FORMAT = 1


@dataclass(frozen=True)
class Results:
    """`champion`: the version that was compared; None: there was none. `units`: what is taken as independent: rows,
    entities or points in time. `figures`: the champion's first."""

    verdict: Verdict
    champion: int | None = None
    metric: str | None = None
    confidence: float | None = None
    winner: int | None = None
    used: int = 0
    units: str = "rows"
    figures: tuple[BenchmarkFigure, ...] = ()

    @property
    def beats_baseline(self) -> bool | None:
        outcome = self.verdict.outcome
        return None if outcome is Outcome.INCONCLUSIVE else outcome is Outcome.PASSED

    @property
    def gain(self) -> dict[str, Any]:
        """The champion's gain over the strongest baseline, keyed as in BenchmarkCompleted."""
        strongest = self.verdict.strongest
        if strongest is None:
            return {"baseline": None, "gain": None, "gain_low": None, "gain_high": None}
        found = strongest.found
        return {
            "baseline": strongest.name,
            "gain": found.value,
            "gain_low": found.lower,
            "gain_high": found.upper,
        }

    def document(self, due: BenchmarkDue, policy_digest: str | None) -> dict[str, Any]:
        """Return the results as JSON: the same for the same rows, versions and policy."""
        return {
            "format": FORMAT,
            "benchmark_id": due.benchmark_id,
            "model": due.model_name,
            "champion": self.champion,
            "due": {"reason": due.reason, "requested_by": due.requested_by},
            "rows": {
                **due.rows.model_dump(mode="json", exclude={"window"}),
                "used": self.used,
                "start": due.start.isoformat(),
                "end": due.end.isoformat(),
                "label": due.label,
                "entity": due.entity,
                "event_time": due.event_time,
                "units": self.units,
            },
            "metric": self.metric,
            "greater_is_better": None if self.metric is None else METRICS[self.metric].greater_is_better,
            "confidence": self.confidence,
            "outcome": self.verdict.outcome.value,
            "reason": self.verdict.reason,
            "beats_baseline": self.beats_baseline,
            **self.gain,
            "winner": self.winner,
            "figures": [figure.model_dump(mode="json") for figure in self.figures],
            "policy_digest": policy_digest,
            "libraries": versions(),
        }


def unmeasured(reason: str, champion: int | None = None) -> Results:
    """Return the results of a benchmark in which nothing could be compared."""
    return Results(Verdict(Outcome.INCONCLUSIVE, reason), champion)


def compare(
    measurements: Measurements, asked: Sequence[EntrantPredictions], policy: ModelPolicy, expected: float | None
) -> Results:
    """Compare the champion with the baselines, and the versions that were asked with the champion.

    `expected`: the champion's metric on its golden rows.
    """
    assert measurements.champion is not None
    version = measurements.champion.model_version
    if measurements.golden is None or measurements.champion_answers is None:
        why = measurements.golden_problem or measurements.champion_problem or "the champion gave no predictions"
        return unmeasured(why, version)
    rows, answers, overlap = measurements.golden, measurements.champion_answers, measurements.champion_overlap
    settings = policy.gates.performance
    alpha = settings.alpha if isinstance(settings, Performance) else benchmark.ALPHA
    clean = leakage.clean_for(overlap, policy, len(rows.truth))
    clusters = measurements.clusters
    facts = Facts(
        problem=measurements.problem,
        metric=policy.metric,
        truth=rows.truth[clean],
        champion=answers.only(clean),
        champion_version=version,
        classes=rows.classes,
        clusters=None if clusters is None else clusters[clean],
        series=measurements.series(clean),
        expected=expected,
        alpha=alpha,
    )
    verdict = benchmark.decide(facts)
    own = _own(facts, _unknown(policy, overlap), len(rows.truth))
    others, better = _others(measurements, asked, policy)
    # A version that is better than a champion which may be worse than nothing still wins; else the champion does.
    winner = better if better is not None else version if verdict.outcome is Outcome.PASSED else None
    return Results(
        verdict=verdict,
        champion=version,
        metric=policy.metric,
        confidence=1 - alpha,
        winner=winner,
        used=len(rows.truth),
        units=units_of(facts.clusters, facts.series, len(facts.truth)).name,
        figures=(own, *others, *_baselines(verdict)),
    )


def _own(facts: Facts, unknown: str | None, n: int) -> BenchmarkFigure:
    figure = BenchmarkFigure(name=_name(facts.champion_version), model_version=facts.champion_version)
    figure = figure.model_copy(update={"rows": len(facts.truth), "problem": unknown or _left_out(n, len(facts.truth))})
    try:
        found = estimates.estimate(facts.metric, facts.truth, facts.champion, facts.alpha, facts.clusters, facts.series)
    except Unmeasurable as error:
        return figure.model_copy(update={"problem": str(error)})
    return figure.model_copy(update={"value": found.value, "low": found.lower, "high": found.upper})


def _others(
    measurements: Measurements, asked: Sequence[EntrantPredictions], policy: ModelPolicy
) -> tuple[list[BenchmarkFigure], int | None]:
    """Return the figures of the other versions, and the best of those that are shown to be better, as a tournament
    would: on rows that neither was trained on, at an equal share of α each."""
    settings = tournament.comparison(policy)
    if settings is None or not asked:
        return [], None
    n = len(measurements.golden.truth) if measurements.golden else 0
    standing = comparison.rank(measurements, TournamentInput(1, "", tuple(asked)), policy, settings)
    found = {version: _of_verdict(version, verdict, n) for version, verdict in standing.result.verdicts.items()}
    for version, why in standing.absent.items():
        found[version] = BenchmarkFigure(name=_name(version), model_version=version, problem=why)
    return [found[version] for version in sorted(found, reverse=True)], standing.result.winner


def _of_verdict(version: int, verdict: GateVerdict, n: int) -> BenchmarkFigure:
    details = verdict.details
    compared = "difference" in details
    return BenchmarkFigure(
        name=_name(version),
        model_version=version,
        value=details.get("challenger"),
        rows=verdict.n or 0,
        gain=details.get("difference"),
        gain_low=details.get("lower") if compared else None,
        gain_high=details.get("upper") if compared else None,
        problem=_left_out(n, verdict.n or 0) if compared else verdict.reason,
    )


def _baselines(verdict: Verdict) -> Iterator[BenchmarkFigure]:
    for each in verdict.baselines:
        found = each.found
        yield BenchmarkFigure(
            name=each.name,
            value=found.second,
            rows=found.n,
            gain=-found.value,
            gain_low=-found.upper,
            gain_high=-found.lower,
        )


def _unknown(policy: ModelPolicy, overlap: leakage.Overlap | None) -> str | None:
    """Return what is not known of the champion's training rows; its own figures are then not known to be honest."""
    if policy.gates.leakage is False:
        return None
    if overlap is None or overlap.unknown:
        why = f": {overlap.unknown}" if overlap is not None else ""
        return f"it is not known which of the rows it was trained on{why}"
    return None


def _left_out(n: int, used: int) -> str | None:
    return f"{n - used} of {n} rows are left out: it, or the champion, was trained on them" if used < n else None


def _name(version: int) -> str:
    return f"v{version}"
