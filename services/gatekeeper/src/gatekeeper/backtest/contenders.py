"""The policies compared in a backtest: each chooses the next champion from the data available at the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Performance
from gatekeeper.backtest.history import History
from gatekeeper.policy import tournament
from gatekeeper.policy.gates import performance
from gatekeeper.policy.statistics.estimates import Predictions, Series

Choose = Callable[[History, int, int], int]
"""(history, newest labelled window, champion) → the version that serves the window after it."""


@dataclass(frozen=True)
class Contender:
    name: str
    choose: Choose


def never() -> Contender:
    return Contender("never retrain", lambda history, window, champion: champion)


def always() -> Contender:
    return Contender("always the newest", lambda history, window, champion: window + 1)


def newest(name: str, metric: str, settings: Performance) -> Contender:
    """Choose the newest version if it passes the performance gate against the champion on the newest window."""

    def choose(history: History, window: int, champion: int) -> int:
        verdict = _gate(history, window, champion, metric, settings)
        return window + 1 if verdict.outcome is Outcome.PASSED else champion

    return Contender(name, choose)


def retained(
    name: str,
    metric: str,
    settings: Performance,
    *,
    most: int | None = None,
    windows: int = 1,
    oldest: int | None = None,
) -> Contender:
    """Choose the newest version by the gate or an earlier one by a tournament on the newest `windows`; the better wins.

    Retained are the newest `most` of the earlier ones except the champion, none older than `oldest` windows. A version
    is never judged on a window that it was trained on.
    """

    def choose(history: History, window: int, champion: int) -> int:
        gate = _gate(history, window, champion, metric, settings)
        best = window + 1 if gate.outcome is Outcome.PASSED else champion
        oldest_of_them = 1 if oldest is None else max(1, window + 1 - oldest)
        kept = [version for version in range(window, oldest_of_them - 1, -1) if version != champion][:most]
        own = tournament.shared(settings, len(kept))
        judged = range(max(0, window - windows + 1), window + 1)
        facts = _facts(history, champion, judged, metric)
        verdicts: dict[int, GateVerdict] = {}
        for version in kept:
            key = (metric, own.model_dump_json(), champion, version, judged)
            if key not in history.verdicts:
                history.verdicts[key] = tournament.compare(facts, _entrant(history, version, judged), own)
            verdicts[version] = history.verdicts[key]
        winner = tournament.best(champion, verdicts).winner
        if winner is None:
            return best
        if best != champion and tournament.gain(gate) >= tournament.gain(verdicts[winner]):
            return best
        return winner

    return Contender(name, choose)


def _gate(history: History, window: int, champion: int, metric: str, settings: Performance) -> GateVerdict:
    judged = range(window, window + 1)
    facts = performance.Facts(
        problem=history.problem,
        metric=metric,
        truth=history.windows[window].truth,
        challenger=history.answers[window + 1, window],
        champion=history.answers[champion, window],
        champion_version=champion,
        clusters=_clusters(history, judged),
        series=_series(history, judged),
    )
    key = (metric, settings.model_dump_json(), champion, window + 1)
    if key not in history.verdicts:
        history.verdicts[key] = performance.decide(facts, settings)
    return history.verdicts[key]


def _facts(history: History, champion: int, judged: range, metric: str) -> tournament.Facts:
    return tournament.Facts(
        problem=history.problem,
        metric=metric,
        truth=np.concatenate([history.windows[at].truth for at in judged]),
        champion=_entrant(history, champion, judged),
        entrants=(),
        clusters=_clusters(history, judged),
        series=_series(history, judged),
        k=2,  # on each window, after the newest version
    )


def _entrant(history: History, version: int, judged: range) -> tournament.Entrant:
    """Windows before the version's first one belong to its training: their predictions are blank, marked unclean."""
    parts = [history.answers.get((version, at)) for at in judged]
    some = next(part for part in reversed(parts) if part is not None)
    blanks = [
        _blank(some, len(history.windows[at].truth)) if part is None else part
        for at, part in zip(judged, parts, strict=True)
    ]
    clean = None
    if any(part is None for part in parts):
        clean = np.concatenate(
            [np.full(len(history.windows[at].truth), part is not None) for at, part in zip(judged, parts, strict=True)]
        )
    scores = (
        None if some.scores is None else np.concatenate([part.scores for part in blanks if part.scores is not None])
    )
    return tournament.Entrant(version, Predictions(np.concatenate([part.labels for part in blanks]), scores), clean)


def _clusters(history: History, judged: range) -> NDArray[np.int64] | None:
    """The rows' clusters; None when the entities of some are not known."""
    found = [history.windows[at].clusters for at in judged]
    known = [clusters for clusters in found if clusters is not None]
    return np.concatenate(known) if len(known) == len(found) else None


def _series(history: History, judged: range) -> Series | None:
    """The rows' order; None when that of some is not known. The naive error is the mean of the windows'."""
    found = [history.windows[at].series for at in judged]
    known = [series for series in found if series is not None]
    if len(known) < len(found):
        return None
    weights = [len(series.before) for series in known if series.scale is not None]
    scales = [series.scale for series in known if series.scale is not None]
    at = [series.at for series in known if series.at is not None]
    return Series(
        np.concatenate([series.before for series in known]),
        float(np.average(scales, weights=weights)) if scales else None,
        np.concatenate(at) if len(at) == len(known) else None,
    )


def _blank(like: Predictions, rows: int) -> Predictions:
    scores = None if like.scores is None else np.zeros((rows, *like.scores.shape[1:]))
    return Predictions(np.zeros(rows, dtype=like.labels.dtype), scores)


def standard(metric: str, own: Contender | None = None) -> list[Contender]:
    """The standard contenders of a comparison; `own` is the given policy."""
    found = [never(), always(), newest("newest, if better by 0.01", metric, _delta(0.01))]
    for rule in ("non_inferior", "superior"):
        found.append(newest(f"newest, if {_RULES[rule]}", metric, Performance(rule=rule)))
    found.append(retained("best of all retained, if superior", metric, Performance(rule="superior")))
    return found if own is None else [*found, own]


def _delta(delta: float) -> Performance:
    return Performance.model_validate({"rule": {"delta": delta}})


_RULES: dict[Literal["non_inferior", "superior"], str] = {"non_inferior": "not inferior", "superior": "superior"}
