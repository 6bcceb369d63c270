"""Compare a policy with the standard ones on one history: versions served, and regret."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from contracts.gate_settings import Performance
from contracts.losses import is_bounded, loss_of
from contracts.policy import ModelPolicy, Retained
from gatekeeper.backtest import contenders
from gatekeeper.backtest.contenders import Contender
from gatekeeper.backtest.history import History
from gatekeeper.backtest.replay import Played, oracle_newest_or_stay, oracle_of_all, play, regret
from gatekeeper.backtest.shadows import Shadowed, play_shadowed, step_of


def of_policy(policy: ModelPolicy, metric: str) -> Contender:
    """The contender that follows this policy."""
    name, settings = "this policy", policy.gates.performance
    if not isinstance(settings, Performance):
        return Contender(name, contenders.always().choose)
    if not isinstance(policy.candidates, Retained):
        return contenders.newest(name, metric, settings)
    return contenders.retained(name, metric, settings, most=policy.candidates.retained)


def report(history: History, policy: ModelPolicy, metric: str) -> dict[str, Any]:
    """The whole report as JSON-compatible data. Raises statistics.Unmeasurable."""
    best = oracle_of_all(history, metric)
    own = of_policy(policy, metric)
    played = [play(history, one, metric) for one in contenders.standard(metric, own)]
    rows = [_row(one, best, metric) for one in (*played, oracle_newest_or_stay(history, metric), best)]
    if is_bounded(loss_of(metric, history.problem)):
        rows.insert(len(played), _shadowed(play_shadowed(history, own, metric, step_of(policy)), best, metric))
    return {
        "model": history.model,
        "metric": metric,
        "windows": [{"name": history.windows[at].name, "rows": history.weight(at)} for at in history.served],
        "versions": {str(version): history.trained_on.get(version) for version in history.versions(history.served[-1])},
        "contenders": rows,
    }


def _row(played: Played, best: Played, metric: str) -> dict[str, Any]:
    return {
        "name": played.name,
        "promotions": played.promotions,
        "value": played.value,
        "regret": max(0.0, regret(played, best, metric)),  # not -0.0
        "champions": list(played.champions),
        "values": list(played.values),
    }


def _shadowed(found: Shadowed, best: Played, metric: str) -> dict[str, Any]:
    """Return the row of a policy with a shadow: rows from choice to promotion, and versions that were not promoted."""
    row = _row(found.played, best, metric)
    delay = f"median {statistics.median(found.delays):,.0f} rows, " if found.delays else ""
    row["name"] = f"{row['name']} ({delay}{found.kept} not promoted)"
    return row | {"delays": list(found.delays), "kept": found.kept}


def markdown(found: dict[str, Any]) -> Iterable[str]:
    """The report as a Markdown table, line by line."""
    yield f"| {found['model']}: who serves the next window | promotions | {found['metric']} served | regret |"
    yield "|---|--:|--:|--:|"
    for row in found["contenders"]:
        yield f"| {row['name']} | {row['promotions']} | {row['value']:.4f} | {row['regret']:.4f} |"
