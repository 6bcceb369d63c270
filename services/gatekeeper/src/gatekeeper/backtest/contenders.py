"""Who is champion next? The policies that are compared, each a function of what was known at the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.policy import Performance
from gatekeeper.backtest.history import History
from gatekeeper.policy import performance, tournament
from gatekeeper.policy.statistics import Answers

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
    """The newest version, if it passes the performance gate against the champion on the newest window."""

    def choose(history: History, window: int, champion: int) -> int:
        challenger = window + 1
        verdict = performance.decide(
            performance.Facts(
                problem=history.problem,
                metric=metric,
                truth=history.windows[window].truth,
                challenger=history.answers[challenger, window],
                champion=history.answers[champion, window],
                champion_version=champion,
                clusters=_clusters(history, range(window, window + 1)),
            ),
            settings,
        )
        return challenger if verdict.outcome is Outcome.PASSED else champion

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
    """All versions that are kept, judged on the newest `windows`; the best that passes wins.

    Kept are the newest `most`, none of them older than `oldest` windows, and the champion. A version is never judged on
    a window that it was trained on.
    """

    rule = settings.model_dump_json()

    def choose(history: History, window: int, champion: int) -> int:
        judged = range(max(0, window - windows + 1), window + 1)
        facts = _facts(history, champion, judged, metric)
        verdicts: dict[int, GateVerdict] = {}
        kept = (version for version in _kept(window + 1, most, oldest) if version != champion)
        for k, version in enumerate(kept, start=1):
            key = (metric, rule, champion, version, judged, k)
            if key not in history.verdicts:
                entrant = _entrant(history, version, judged)
                history.verdicts[key] = tournament.compare(facts, entrant, k, settings)
            verdicts[version] = history.verdicts[key]
        winner = tournament.best(champion, verdicts).winner
        return champion if winner is None else winner

    return Contender(name, choose)


def _facts(history: History, champion: int, judged: range, metric: str) -> tournament.Facts:
    return tournament.Facts(
        problem=history.problem,
        metric=metric,
        truth=np.concatenate([history.windows[at].truth for at in judged]),
        champion=_entrant(history, champion, judged),
        entrants=(),
        clusters=_clusters(history, judged),
    )


def _kept(newest_version: int, most: int | None, oldest: int | None) -> Sequence[int]:
    """Newest first: the order in which they spend α."""
    count = min(value for value in (newest_version, most, oldest) if value is not None)
    return range(newest_version, newest_version - count, -1)


def _entrant(history: History, version: int, judged: range) -> tournament.Entrant:
    """Windows before the version's first one belong to its training: the answers there are blanks, marked unclean."""
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
    return tournament.Entrant(version, Answers(np.concatenate([part.labels for part in blanks]), scores), clean)


def _clusters(history: History, judged: range) -> NDArray[np.int64] | None:
    """None when no entity has more than one of these rows."""
    if len(judged) == 1:
        only = history.windows[judged[0]]
        return only.clusters if only.repeats else None
    found = [history.windows[at].clusters for at in judged]
    known = [clusters for clusters in found if clusters is not None]
    return np.concatenate(known) if len(known) == len(found) else None


def _blank(like: Answers, rows: int) -> Answers:
    scores = None if like.scores is None else np.zeros((rows, *like.scores.shape[1:]))
    return Answers(np.zeros(rows, dtype=like.labels.dtype), scores)


def standard(metric: str, own: Contender | None = None) -> list[Contender]:
    """What any policy is compared with; `own` is the policy at hand."""
    found = [never(), always(), newest("newest, if better by 0.01", metric, _delta(0.01))]
    for rule in ("non_inferior", "superior"):
        found.append(newest(f"newest, if {_RULES[rule]}", metric, Performance(rule=rule)))
    found.append(retained("best of all retained, if superior", metric, Performance(rule="superior")))
    return found if own is None else [*found, own]


def _delta(delta: float) -> Performance:
    return Performance.model_validate({"rule": {"delta": delta}})


_RULES: dict[Literal["non_inferior", "superior"], str] = {"non_inferior": "not inferior", "superior": "superior"}
