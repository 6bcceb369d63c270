"""Tournament: choose the champion among retained versions, on rows that no compared version was trained on.

The performance gate judges each entrant against the champion; the best of those that pass and are better wins. Together
the entrants count as the k-th challenger of their golden dataset and share its α equally, so that by Bonferroni's
inequality α bounds the chance that any of them replaces an equally good champion. Non-inferiority is not enough here: a
retained version is not new, and the champion would change without gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome, overall
from contracts.gate_settings import Minimum, Performance
from contracts.metrics import Problem
from contracts.policy import ModelPolicy, Retained
from gatekeeper.policy.gates import performance
from gatekeeper.policy.statistics.estimates import Predictions, Series, direction


@dataclass(frozen=True, eq=False)
class Entrant:
    """A version and its predictions on the golden rows. `clean`: rows that it was not trained on; None: all."""

    model_version: int
    answers: Predictions
    clean: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Facts:
    """`clusters`: each row's entity as a number, where rows of one entity repeat.

    `k`: the entrants together are the k-th challenger judged on these golden rows, from 1 on.
    """

    problem: Problem
    metric: str
    truth: NDArray[Any]
    champion: Entrant
    entrants: tuple[Entrant, ...]
    clusters: NDArray[Any] | None = None
    k: int = 1
    series: Series | None = None


@dataclass(frozen=True)
class Result:
    """`winner` is None if the champion stays. One verdict per entrant, by version."""

    winner: int | None
    reason: str
    verdicts: Mapping[int, GateVerdict] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """The version to become champion, if any, and the reason."""

    winner: int | None
    reason: str


def comparison(policy: ModelPolicy) -> Performance | None:
    """Return the settings for comparing retained versions; None if the policy has no tournament."""
    settings = policy.gates.performance
    if not isinstance(policy.candidates, Retained) or not isinstance(settings, Performance):
        return None
    return None if isinstance(settings.rule, Minimum) else settings


def decide(facts: Facts, settings: Performance) -> Result:
    """Choose the winner; the champion stays unless an entrant is shown to be better."""
    own = shared(settings, len(facts.entrants))
    verdicts = {entrant.model_version: compare(facts, entrant, own) for entrant in facts.entrants}
    return best(facts.champion.model_version, verdicts)


def shared(settings: Performance, entrants: int) -> Performance:
    """Return the settings for each of `entrants`: superiority, at an equal share of alpha."""
    rule = "superior" if settings.rule == "non_inferior" else settings.rule
    return settings.model_copy(update={"rule": rule, "alpha": settings.alpha / max(1, entrants)})


def compare(facts: Facts, entrant: Entrant, settings: Performance) -> GateVerdict:
    """Judge one entrant with the performance gate, on rows that neither it nor the champion was trained on."""
    rows = _both(facts.champion.clean, entrant.clean)
    return performance.decide(
        performance.Facts(
            problem=facts.problem,
            metric=facts.metric,
            truth=facts.truth if rows is None else facts.truth[rows],
            challenger=entrant.answers if rows is None else entrant.answers.only(rows),
            champion=facts.champion.answers if rows is None else facts.champion.answers.only(rows),
            champion_version=facts.champion.model_version,
            clusters=facts.clusters if rows is None or facts.clusters is None else facts.clusters[rows],
            k=facts.k,
            series=facts.series if rows is None or facts.series is None else facts.series.only(rows),
        ),
        settings,
    )


def best(champion_version: int, verdicts: Mapping[int, GateVerdict]) -> Result:
    """Return the winner, given each entrant's verdict against this champion."""
    gains = {version: gain(verdict) for version, verdict in verdicts.items()}
    passed = [
        version for version, verdict in verdicts.items() if verdict.outcome is Outcome.PASSED and gains[version] > 0
    ]
    champion = f"champion v{champion_version}"
    if not passed:
        nearest = max(gains, key=lambda version: (gains[version], version), default=None)
        who = "nobody else" if nearest is None else f"v{nearest} comes nearest: {verdicts[nearest].reason}"
        return Result(None, f"{champion} stays, none of {len(verdicts)} was shown to be better; {who}", verdicts)
    winner = max(passed, key=lambda version: (gains[version], version))
    reason = f"the best of {len(verdicts) + 1}, and one of {len(passed)} shown to be better than {champion}"
    return Result(winner, f"{reason}: {verdicts[winner].reason}", verdicts)


def outdoes(verdict: GateVerdict, candidate: Sequence[GateVerdict]) -> bool:
    """Return whether the entrant beats the new candidate; true without a candidate that passed its gates."""
    if overall(candidate) is not Outcome.PASSED:
        return True
    own = next((found for found in candidate if found.gate == performance.name), None)
    return own is None or gain(verdict) > gain(own)


def ending(result: Result, candidate: Sequence[GateVerdict], gates: Sequence[GateVerdict]) -> Ending:
    """Decide the tournament. `candidate`: verdicts on the new version, if any; `gates`: on the best, on the same rows.

    The best must pass every gate of its policy, like any other version.
    """
    if result.winner is None:
        return Ending(None, result.reason)
    if not outdoes(result.verdicts[result.winner], candidate):
        return Ending(None, f"v{result.winner} is better than the champion, but the new version does as well or better")
    outcome = overall(gates)
    if outcome is Outcome.PASSED:
        return Ending(result.winner, result.reason)
    why = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in gates if verdict.outcome is outcome)
    return Ending(None, f"v{result.winner} was the best, but on these rows {outcome.value}: {why or 'it ran no gate'}")


def gain(verdict: GateVerdict) -> float:
    """Return the gain over the champion in the metric; minus infinity if it could not be measured."""
    found = verdict.details.get("difference")
    if found is not None:
        return float(found)
    if verdict.observed is None or verdict.bound is None or verdict.metric is None:
        return -math.inf
    return direction(verdict.metric) * (verdict.observed - verdict.bound)


def _both(first: NDArray[np.bool_] | None, second: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second
