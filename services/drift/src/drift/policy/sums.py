"""Sums of a rollout's step: what rows, units and losses add to them. Totals only grow, whatever the order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from contracts import ArmSums, PairedSums
from contracts.event import Value
from contracts.latency_buckets import bucket_of
from contracts.rollouts import BETS, log_wealth


class Sums(Value):
    """The sums of a step, as RolloutMeasured carries them."""

    champion: ArmSums
    tried: ArmSums
    paired: PairedSums = PairedSums()
    compared: int = 0
    agreed: int = 0

    def waiting(self, *, split: bool) -> int:
        """Return how many units have no value yet: each arm has its own in a split, else a pair is one unit."""
        if split:
            return self.champion.units + self.tried.units - self.champion.labelled - self.tried.labelled
        return max(self.champion.units, self.tried.units) - self.paired.n


def with_predictions(arm: ArmSums, made: Sequence[tuple[bool, float | None]], units: int) -> ArmSums:
    """Add rows that the version predicted: whether each failed, its latency in milliseconds; and `units` new units."""
    latency = Counter({int(bucket): count for bucket, count in arm.latency.items()})
    latency.update(bucket_of(milliseconds) for _, milliseconds in made if milliseconds is not None)
    return arm.model_copy(
        update={
            "units": arm.units + units,
            "predictions": arm.predictions + len(made),
            "errors": arm.errors + sum(failed for failed, _ in made),
            "latency": {str(bucket): latency[bucket] for bucket in sorted(latency)},
        }
    )


def with_losses(arm: ArmSums, losses: Sequence[float]) -> ArmSums:
    """Add the losses of units, each from 0 to 1."""
    return arm.model_copy(
        update={
            "labelled": arm.labelled + len(losses),
            "loss": arm.loss + math.fsum(losses),
            "loss2": arm.loss2 + math.fsum(loss * loss for loss in losses),
            "right": arm.right + sum(loss < 0.5 for loss in losses),
        }
    )


def with_differences(paired: PairedSums, differences: Sequence[float], margin: float) -> PairedSums:
    """Add units of which both versions predicted: loss of the champion minus loss of the tried version, -1 to 1.

    `margin`: of the step's `Loss`.
    """
    better, worse = zip(*(log_wealth(difference, margin) for difference in differences), strict=True)
    return paired.model_copy(
        update={
            "n": paired.n + len(differences),
            "wins": paired.wins + sum(d > 0 for d in differences),
            "losses": paired.losses + sum(d < 0 for d in differences),
            "sum_d": paired.sum_d + math.fsum(differences),
            "sum_d2": paired.sum_d2 + math.fsum(d * d for d in differences),
            "log_wealth_better": _grown(paired.log_wealth_better, better),
            "log_wealth_worse": _grown(paired.log_wealth_worse, worse),
        }
    )


def _grown(before: Sequence[float], by_unit: Sequence[Sequence[float]]) -> tuple[float, ...]:
    total = before or (0.0,) * len(BETS)
    return tuple(wealth + math.fsum(added) for wealth, added in zip(total, zip(*by_unit, strict=True), strict=True))
