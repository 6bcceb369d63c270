"""Simulated units of a rollout, and their sums as drift would measure them after each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contracts import ArmSums, PairedSums, RolloutMeasured
from contracts.latency_buckets import FIRST_MS, LAST, PER_DOUBLING
from contracts.rollouts import BETS

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Versions:
    """How both versions behave. Losses are 0 or 1, or Brier scores of two noisy copies of one probability."""

    gain: float = 0.0
    """Accuracy of the tried version minus that of the champion (Brier: the reduction of the mean loss, about)."""
    wrong: float = 0.15
    """Of the champion."""
    differ: float = 0.08
    """Share of the rows on which one of them is right."""
    brier: bool = False
    errors: tuple[float, float] = (0.001, 0.001)
    """Share of rows on which champion and tried version fail."""
    slower: float = 1.0
    """Latency of the tried version, as a multiple of the champion's."""
    history: int = 10_000
    """Rows that the champion predicted before."""


def cumulated(values: NDArray[np.generic]) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values, dtype=float)])


@dataclass(frozen=True)
class Stream:
    """n units: losses, failures and latencies that either version has on each, of which the arms see their part.

    Arrays have the shape (2, n): champion, tried version.
    """

    loss: Floats
    failed: Flags
    bucket: NDArray[np.int64]
    history_errors: int
    history: int
    split: Flags | None = None
    """Which units the tried version answers; None: both predict every unit."""
    bets: bool = False
    """Whether log wealth is summed; tests of right or wrong do not read it."""

    def seen(self, arm: int) -> Flags:
        if self.split is None:
            return np.ones(self.loss.shape[1], dtype=bool)
        return self.split if arm else ~self.split

    @cached_property
    def totals(self) -> list[dict[str, Floats]]:
        """Return, for either arm, the cumulative sums after each unit."""
        found = []
        for arm in (0, 1):
            seen = self.seen(arm)
            loss, failed = np.where(seen, self.loss[arm], 0.0), seen & self.failed[arm]
            found.append(
                {
                    "units": cumulated(seen),
                    "errors": cumulated(failed),
                    "loss": cumulated(loss),
                    "loss2": cumulated(loss**2),
                    "right": cumulated(seen & (self.loss[arm] < 0.5)),
                }
            )
        return found

    @cached_property
    def pairs(self) -> dict[str, Floats]:
        d = self.loss[0] - self.loss[1]
        return {"wins": cumulated(d > 0), "losses": cumulated(d < 0), "d": cumulated(d), "d2": cumulated(d**2)}

    @cached_property
    def wealth(self) -> tuple[Floats, Floats]:
        """Return log wealth better and worse of each bet after each unit, shape (8, n + 1), without a margin."""
        d = self.loss[0] - self.loss[1]
        both = (np.log1p(sign * np.outer(BETS, d)) for sign in (1.0, -1.0))
        first, second = (np.concatenate([np.zeros((len(BETS), 1)), np.cumsum(each, axis=1)], axis=1) for each in both)
        return first, second

    def measured(self, n: int, begin: int = 0, agreed: Floats | None = None) -> RolloutMeasured:
        """Return the totals of the units from `begin` up to n, as drift publishes them; not validated, for speed."""
        paired = self._pairs(n) if self.split is None and begin == 0 else PairedSums()
        return RolloutMeasured.model_construct(
            model_name="m",
            rollout_id="r",
            step=1,
            champion=self._arm(0, n, begin),
            tried=self._arm(1, n, begin),
            paired=paired,
            champion_history=self.history + int(self.totals[0]["units"][begin]),
            champion_history_errors=self.history_errors + int(self.totals[0]["errors"][begin]),
            compared=n - begin if agreed is not None else 0,
            agreed=int(agreed[n] - agreed[begin]) if agreed is not None else 0,
            waiting=0,
            counted_from=BEGAN,
            measured_at=BEGAN,
        )

    def _pairs(self, n: int) -> PairedSums:
        better, worse = (tuple(map(float, each[:, n])) for each in self.wealth) if self.bets else ((), ())
        return PairedSums.model_construct(
            n=n,
            wins=int(self.pairs["wins"][n]),
            losses=int(self.pairs["losses"][n]),
            sum_d=float(self.pairs["d"][n]),
            sum_d2=float(self.pairs["d2"][n]),
            log_wealth_better=better,
            log_wealth_worse=worse,
        )

    def _arm(self, arm: int, n: int, begin: int) -> ArmSums:
        since = {name: float(sums[n] - sums[begin]) for name, sums in self.totals[arm].items()}
        seen = self.seen(arm)[begin:n] & ~self.failed[arm, begin:n]
        counts = np.bincount(self.bucket[arm, begin:n][seen], minlength=1)
        return ArmSums.model_construct(
            model_version=arm + 1,
            units=int(since["units"]),
            predictions=int(since["units"]),
            errors=int(since["errors"]),
            latency={str(bucket): int(times) for bucket, times in enumerate(counts) if times},
            labelled=int(since["units"]),
            loss=since["loss"],
            loss2=since["loss2"],
            right=int(since["right"]),
        )


def stream(
    random: np.random.Generator, n: int, of: Versions, split: float | None = None, latency: bool = False
) -> Stream:
    """Draw n units; `split` is the share of the tried version. Without `latency`, every prediction takes as long."""
    if of.brier:
        loss = _brier(random, n, of.gain)
    else:
        u = random.random(n)
        only_tried, only_champion = (of.differ + of.gain) / 2, (of.differ - of.gain) / 2
        loss = np.zeros((2, n))
        loss[0] = (u < only_tried) | (u > 1 - of.wrong + only_tried)
        loss[1] = ((u >= only_tried) & (u < only_tried + only_champion)) | (u > 1 - of.wrong + only_tried)
    bucket = _buckets(random, n, of.slower) if latency else np.ones((2, n), dtype=np.int64)
    failed = random.random((2, n)) < np.array(of.errors)[:, None]
    return Stream(
        loss,
        failed,
        bucket,
        int(random.binomial(of.history, of.errors[0])),
        of.history,
        None if split is None else random.random(n) < split,
        of.brier,
    )


def _buckets(random: np.random.Generator, n: int, slower: float) -> NDArray[np.int64]:
    milliseconds = 5.0 * np.exp(0.3 * random.normal(size=(2, n))) * np.array([[1.0], [slower]])
    exact = np.ceil(PER_DOUBLING * np.log2(milliseconds / FIRST_MS) - 1e-9)
    return np.clip(exact, 0, LAST).astype(np.int64)


def _brier(random: np.random.Generator, n: int, gain: float) -> Floats:
    """Return squared errors of two models that see the same logit, each with noise of its own.

    The champion's noise has the variance 0.5; less of it in the tried version lowers its loss.
    """
    logit = 1.5 * random.normal(size=n)
    y = random.random(n) < 1 / (1 + np.exp(-logit))
    noise = np.sqrt([[0.5], [max(0.0, 0.5 - 30 * gain)]]) * random.normal(size=(2, n))
    found: Floats = (1 / (1 + np.exp(-(logit + noise))) - y) ** 2
    return found
