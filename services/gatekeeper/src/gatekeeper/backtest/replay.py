"""Replay a policy on a history, and compute the best possible result with the same versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gatekeeper.backtest.contenders import Contender
from gatekeeper.backtest.history import History
from gatekeeper.policy.statistics.estimates import direction


@dataclass(frozen=True)
class Played:
    """`champions` and `values` (the metric) have one entry per served window."""

    name: str
    champions: tuple[int, ...]
    values: tuple[float, ...]
    value: float
    """Mean over all served windows, weighted by rows: for a mean loss, the mean over all served rows."""

    @property
    def promotions(self) -> int:
        """Changes of the champion after the first one."""
        return sum(one != other for one, other in zip(self.champions, self.champions[1:], strict=False))


def play(history: History, contender: Contender, metric: str) -> Played:
    """Replay: version 1 serves first; after each window the contender chooses the version for the next one."""
    champion = 1
    champions = [champion]
    for window in history.served[:-1]:
        champion = contender.choose(history, window, champion)
        champions.append(champion)
    return measured(history, contender.name, champions, metric)


def measured(history: History, name: str, champions: Sequence[int], metric: str) -> Played:
    """The result of these champions, one per served window."""
    values = [history.value(metric, version, window) for version, window in zip(champions, history.served, strict=True)]
    weights = [history.weight(window) for window in history.served]
    total = sum(value * weight for value, weight in zip(values, weights, strict=True))
    return Played(name, tuple(champions), tuple(values), total / sum(weights))


def oracle_of_all(history: History, metric: str) -> Played:
    """Oracle: sees each window in advance, and may choose any available version."""
    champions = []
    for window in history.served:
        worth = {version: history.worth(metric, version, window) for version in history.versions(window)}
        champions.append(max(worth, key=lambda version: (worth[version], version)))
    return measured(history, "oracle: any retained version", champions, metric)


def oracle_newest_or_stay(history: History, metric: str) -> Played:
    """Oracle: sees all windows in advance, and each time takes the newest version or stays; the best such sequence."""
    best: dict[int, tuple[float, tuple[int, ...]]] = {1: (0.0, ())}
    for window in history.served:
        newest = window
        if window > 1:
            best[newest] = max(best.values(), key=lambda found: found[0])
        best = {
            version: (
                total + history.weight(window) * history.worth(metric, version, window),
                (*path, version),
            )
            for version, (total, path) in best.items()
        }
    _, champions = max(best.values(), key=lambda found: found[0])
    return measured(history, "oracle: the newest, or stay", champions, metric)


def regret(played: Played, best: Played, metric: str) -> float:
    """Shortfall from the best, in the metric's unit; positive is worse."""
    return direction(metric) * (best.value - played.value)
