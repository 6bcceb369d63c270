"""Replay a policy whose choices must prove themselves in a shadow, on the rows that follow, before they serve."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from contracts import ArmSums, Loss, PairedSums, RolloutMeasured
from contracts.losses import LossKind, is_bounded, loss_of
from contracts.policy import ModelPolicy
from contracts.rollout_settings import Shadow, ShadowStage
from contracts.rollouts import BETS, log_wealth
from gatekeeper.backtest.contenders import Contender
from gatekeeper.backtest.history import History
from gatekeeper.backtest.replay import Played
from gatekeeper.policy.rollout import Action, Advance, Continue, Step, next_action, plan
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions

EVERY = 50
"""Rows between two looks."""
NOW = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shadowed:
    """What was served, and what the shadows cost."""

    played: Played
    """`champions` has the version that serves the end of each window."""
    delays: tuple[int, ...]
    """Rows from the choice of a version to its promotion, for each promotion."""
    kept: int
    """Shadows after which the champion stayed, or that the history ended."""


def step_of(policy: ModelPolicy) -> Step:
    """Return the policy's shadow, else the default one, as far as it is decided by the metric."""
    written = next((trial for trial in policy.strategy if isinstance(trial, ShadowStage)), ShadowStage(shadow=Shadow()))
    judged = written.shadow.model_copy(update={"on": ("metric",)})
    (step,) = plan(ModelPolicy(model=policy.model, strategy=(ShadowStage(shadow=judged),), gates=policy.gates))
    return step


@dataclass
class _Shadow:
    """The version that is tried, with its sums: one row is one unit, and its label counts at once."""

    version: int
    sums: PairedSums = field(
        default_factory=lambda: PairedSums(log_wealth_better=(0.0,) * len(BETS), log_wealth_worse=(0.0,) * len(BETS))
    )

    def follow(self, d: NDArray[np.float64], champion: int, step: Step, loss: Loss) -> tuple[int, Action]:
        """Add rows until a look decides; return the number of rows that were used, and the last action."""
        action: Action = Continue("no rows")
        for begin in range(0, len(d), EVERY):
            self._add(d[begin : begin + EVERY], loss.margin)
            action = next_action(step, NOW, self._measured(champion), NOW, loss=loss)
            if not isinstance(action, Continue):
                return min(begin + EVERY, len(d)), action
        return len(d), action

    def _add(self, d: NDArray[np.float64], margin: float) -> None:
        before = self.sums
        logs = np.array([log_wealth(float(each), margin) for each in d]).sum(axis=0)
        self.sums = PairedSums(
            n=before.n + len(d),
            wins=before.wins + int((d > 0).sum()),
            losses=before.losses + int((d < 0).sum()),
            sum_d=before.sum_d + float(d.sum()),
            sum_d2=before.sum_d2 + float((d * d).sum()),
            log_wealth_better=tuple(np.add(before.log_wealth_better, logs[0]).tolist()),
            log_wealth_worse=tuple(np.add(before.log_wealth_worse, logs[1]).tolist()),
        )

    def _measured(self, champion: int) -> RolloutMeasured:
        n = self.sums.n
        one, other = (
            ArmSums(model_version=version, units=n, predictions=n, labelled=n) for version in (champion, self.version)
        )
        return RolloutMeasured(
            model_name="backtest",
            rollout_id=f"v{self.version}",
            step=1,
            champion=one,
            tried=other,
            paired=self.sums,
            compared=n,
            counted_from=NOW,
            measured_at=NOW,
        )


def play_shadowed(history: History, contender: Contender, metric: str, step: Step) -> Shadowed:
    """Replay: what the contender chooses predicts in shadow, and serves from the row after its proof.

    While a shadow lasts, if need be over several windows, nothing else is chosen (supersede: wait). Raises ValueError
    for regression: the scale of its loss is the champion's error on golden rows, which a history does not have.
    """
    loss = Loss(kind=loss_of(metric, history.problem), margin=step.limits.margin)
    if not is_bounded(loss.kind):
        raise ValueError(f"shadows of {history.problem} cannot be replayed: a history has no scale of the loss")
    champion, shadow = 1, None
    champions, values, delays, kept = [], [], [], 0
    for window in history.served:
        served = history.answers[champion, window]
        if shadow is None and window > history.served[0]:
            chosen = contender.choose(history, window - 1, champion)
            shadow = None if chosen == champion else _Shadow(chosen)
        if shadow is not None:
            truth, tried = history.windows[window].truth, history.answers[shadow.version, window]
            d = _losses(loss.kind, truth, served) - _losses(loss.kind, truth, tried)
            rows, action = shadow.follow(d, champion, step, loss)
            if isinstance(action, Advance):
                served = _joined(served, tried, rows)
                champion = shadow.version
                delays.append(shadow.sums.n)
            if not isinstance(action, Continue):
                kept += not isinstance(action, Advance)
                shadow = None
        champions.append(champion)
        labelled = history.windows[window]
        values.append(estimates.value(metric, labelled.truth, served, labelled.series))
    value = float(np.average(values, weights=[history.weight(window) for window in history.served]))
    played = Played(f"{contender.name}, after a shadow", tuple(champions), tuple(values), value)
    return Shadowed(played, tuple(delays), kept + (shadow is not None))


def _losses(kind: LossKind, truth: NDArray[np.generic], found: Predictions) -> NDArray[np.float64]:
    if kind is LossKind.BRIER and found.scores is not None:
        return np.asarray((found.scores - truth.astype(float)) ** 2, dtype=float)
    return np.asarray(found.labels != truth, dtype=float)


def _joined(first: Predictions, then: Predictions, rows: int) -> Predictions:
    """Return the predictions of one version on the first rows, and of another on the rest."""
    labels = np.concatenate([first.labels[:rows], then.labels[rows:]])
    if first.scores is None or then.scores is None:
        return Predictions(labels, None)
    return Predictions(labels, np.concatenate([first.scores[:rows], then.scores[rows:]]))
