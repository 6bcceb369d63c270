"""Drift decisions: when a window is judged, its verdict, and whether drift is announced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts import DriftKind, FeatureScore, Outcome
from contracts.drift_settings import After

MINIMUM_ROWS = 200
"""Fewer rows, labelled or not, give no verdict: a handful of rows cannot show drift."""
LESS_THAN_A_SECOND = timedelta(microseconds=999_999)
EACH_WINDOW = After(1, 1)
"""Drift is announced when one window shows it."""


@dataclass(frozen=True)
class Verdict:
    """Passed: no drift. Failed: drift. Inconclusive: undecidable, for `reason`."""

    kind: DriftKind
    outcome: Outcome
    reason: str
    n: int
    observed: float | None = None
    bound: float | None = None
    low: float | None = None
    high: float | None = None
    """The interval of `observed`."""


@dataclass(frozen=True)
class Standing:
    """State of a version at the time of an announcement."""

    is_champion: bool
    champion_version: int | None
    announced: bool
    last_detected_at: datetime | None
    recent: tuple[Outcome, ...] = ()
    """Verdicts on the data of the version's newest windows, this one included."""


@dataclass(frozen=True)
class Announce:
    """Emit the event."""


@dataclass(frozen=True)
class Hold:
    """Drift that is not announced, for this reason."""

    reason: str


def refusal(rows: int) -> str | None:
    """Return why a window of `rows` rows is not judged; None when it is."""
    if rows < MINIMUM_ROWS:
        return f"not enough rows: {rows} of at least {MINIMUM_ROWS}"
    return None


def drift_share(scores: Sequence[FeatureScore]) -> float | None:
    """Return the share of features with at least one score over its limit; None without scores."""
    features = {score.feature for score in scores}
    if not features:
        return None
    return len({score.feature for score in scores if score.drifted}) / len(features)


def judge_data(rows: int, scores: Sequence[FeatureScore], limit: float, nothing_compared: str | None = None) -> Verdict:
    """Report drift when the share of drifted features reaches `limit`.

    `nothing_compared`: why there are no scores.
    """
    kind = DriftKind.DATA
    if (refused := refusal(rows)) is not None:
        return Verdict(kind, Outcome.INCONCLUSIVE, refused, rows, bound=limit)
    share = drift_share(scores)
    if share is None:
        reason = f"nothing to compare: {nothing_compared or 'no feature of the predictions is in the reference'}"
        return Verdict(kind, Outcome.INCONCLUSIVE, reason, rows, bound=limit)
    features = {score.feature for score in scores}
    drifted = _worst(scores)
    found = f"{len(drifted)} of {len(features)} features drifted ({share:.0%}; limit {limit:.0%})"
    if share >= limit:
        return Verdict(DriftKind.DATA, Outcome.FAILED, f"{found}: {_named(drifted)}", rows, share, limit)
    return Verdict(kind, Outcome.PASSED, found + (f": {_named(drifted)}" if drifted else ""), rows, share, limit)


def judge_limits(
    rows: int, scores: Sequence[FeatureScore], budget: str, basis: str, nothing_compared: str | None = None
) -> Verdict:
    """Report drift when any score reaches its calibrated limit.

    `budget`: the false alarms for which the limits are calibrated, `basis`: on what, both in words; `nothing_compared`:
    why there are no scores.
    """
    kind = DriftKind.DATA
    if (refused := refusal(rows)) is not None:
        return Verdict(kind, Outcome.INCONCLUSIVE, refused, rows)
    share = drift_share(scores)
    if share is None:
        reason = f"nothing to compare: {nothing_compared or 'no feature of the predictions is in the reference'}"
        return Verdict(kind, Outcome.INCONCLUSIVE, reason, rows)
    drifted = _worst(scores)
    features = len({score.feature for score in scores})
    calibrated = f"{basis}, for {budget}"
    if drifted:
        reason = f"{len(drifted)} of {features} features drifted: {_named(drifted)}; {calibrated}"
        return Verdict(kind, Outcome.FAILED, reason, rows, share)
    return Verdict(kind, Outcome.PASSED, f"none of {features} features drifted; {calibrated}", rows, share)


def announcement(
    verdict: Verdict, standing: Standing, cooldown: timedelta, now: datetime, after: After = EACH_WINDOW
) -> Announce | Hold | None:
    """Decide on an event: at most one per window and kind, one per version within the cooldown; None without drift.

    `after`: drift is announced when so many of the newest verdicts in `standing.recent` are drift.
    """
    if verdict.outcome is not Outcome.FAILED or standing.announced:
        return None
    if not standing.is_champion:
        champion = f"version {standing.champion_version}" if standing.champion_version else "none known"
        return Hold(f"not announced: the version is no longer the champion ({champion} is)")
    seen = sum(outcome is Outcome.FAILED for outcome in standing.recent[-after.windows :])
    if seen < after.drifted and after.drifted > 1:
        return Hold(
            f"not announced: seen in {seen} of the last {after.windows} windows, announced from {after.drifted}"
        )
    if standing.last_detected_at is not None and now < standing.last_detected_at + cooldown:
        # Rounded up: at the end of a cooldown, the time that is named must not have passed.
        until = (standing.last_detected_at + cooldown + LESS_THAN_A_SECOND).isoformat(timespec="seconds")
        return Hold(f"not announced: cooling down until {until} after the drift detected before")
    return Announce()


def by_excess(scores: Sequence[FeatureScore]) -> list[FeatureScore]:
    """Order by how far a score is over its limit, as a multiple of it; limits of columns differ by their nature."""
    return sorted(scores, key=lambda item: item.score / item.limit if item.limit > 0 else math.inf, reverse=True)


def _worst(scores: Sequence[FeatureScore]) -> dict[str, FeatureScore]:
    """Return the worst score of each drifted feature, furthest over its limit first."""
    worst: dict[str, FeatureScore] = {}
    for score in by_excess([score for score in scores if score.drifted]):
        worst.setdefault(score.feature, score)
    return worst


def _named(drifted: dict[str, FeatureScore], most: int = 5) -> str:
    named = [f"{item.feature} ({item.method} {item.score:.3f} > {item.limit:.3g})" for item in drifted.values()]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")
