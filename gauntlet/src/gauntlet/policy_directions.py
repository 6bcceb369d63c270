"""Which change of a policy's key makes it looser or tighter: one table, whose keys a test compares with the schema.

Looser: a version needs to prove less to become or stay champion, or drift is announced later. Tighter: the reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contracts.metrics import METRICS

Direction = Literal["looser", "tighter", "changed"]
OFF = (None, False, "off", "none", "direct")


@dataclass(frozen=True)
class Lower:
    """A lower number is tighter; none at all is no limit."""


@dataclass(frozen=True)
class Higher:
    """A higher number is tighter; none at all requires nothing."""


@dataclass(frozen=True)
class More:
    """More entries are tighter."""


@dataclass(frozen=True)
class Fewer:
    """Fewer entries are tighter."""


@dataclass(frozen=True)
class Ordered:
    """The values from the loosest to the tightest."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Switch:
    """A section: on is tighter than off."""


@dataclass(frozen=True)
class ByMetric:
    """A number that a metric must reach, the last part of the key; to require another metric is tighter."""


@dataclass(frozen=True)
class Unknown:
    """Neither can be said."""


Rule = Lower | Higher | More | Fewer | Ordered | Switch | ByMetric | Unknown

_LIMITS: dict[str, Rule] = {"margin": Lower(), "errors": Lower(), "latency_factor": Lower(), "on": More()}

RULES: dict[str, Rule] = {
    "gates.lineage": Switch(),
    "gates.lineage.require": More(),
    "gates.integrity": Switch(),
    "gates.integrity.serialisation": Ordered(("any", "allow_listed", "safe")),
    "gates.integrity.allow": Fewer(),
    "gates.integrity.dependencies": Ordered(("ignore", "compatible", "exact")),
    "gates.integrity.vulnerabilities": Ordered(("ignore", "check", "require")),
    "gates.integrity.accepted": Fewer(),
    "gates.functional": Switch(),
    "gates.leakage": Switch(),
    "gates.leakage.entity": Ordered(("never", "auto", "always")),
    "gates.leakage.minimum_rows": Higher(),
    "gates.leakage.unknown": Ordered(("pass", "inconclusive")),
    "gates.performance": Switch(),
    "gates.performance.rule": Ordered(("non_inferior", "superior")),
    "gates.performance.rule.delta": Higher(),
    "gates.performance.rule.minimum": ByMetric(),
    "gates.performance.floor": ByMetric(),
    "gates.performance.alpha": Lower(),
    "gates.performance.alpha_spending": Ordered((False, True)),
    "gates.performance.margin_share": Lower(),
    "gates.slices": Switch(),
    "gates.slices.columns": More(),
    "gates.slices.minimum_rows": Lower(),  # smaller slices are judged, too
    "gates.slices.margin_share": Lower(),
    "gates.slices.alpha": Higher(),  # of showing that a slice is worse: the gate fails sooner
    "gates.fairness": Switch(),
    "gates.fairness.columns": More(),
    "gates.fairness.limit": Lower(),
    "gates.fairness.margin": Lower(),
    "gates.fairness.minimum_rows": Lower(),
    "gates.robustness": Switch(),
    "gates.robustness.perturbations": More(),
    "gates.robustness.unseen_as_known": Ordered(("warn", "fail")),
    "gates.robustness.share": Higher(),
    "gates.robustness.margin_share": Lower(),
    "gates.latency": Switch(),
    "gates.latency.p95_ms": Lower(),
    "gates.latency.batch_p95_ms": Lower(),
    "gates.latency.load_seconds": Lower(),
    "gates.latency.memory_mb": Lower(),
    "gates.latency.times_champion": Lower(),
    "gates.dependents": Switch(),
    "gates.dependents.consumers[]": Switch(),
    "gates.dependents.consumers[].flagged_change": Lower(),
    "gates.dependents.max_shift": Lower(),
    "gates.dependents.margin_share": Lower(),
    "sandbox.seconds": Lower(),
    "sandbox.memory_mb": Lower(),
    "sandbox.disk_mb": Lower(),
    "sandbox.processes": Ordered((True, False)),
    "strategy.shadow": Switch(),
    "strategy.canary": Switch(),
    "strategy.ab": Switch(),
    **{f"strategy.{trial}.{key}": rule for trial in ("shadow", "canary", "ab") for key, rule in _LIMITS.items()},
    "strategy.shadow.agreement": Higher(),
    "strategy.canary.bake": Higher(),
    "strategy.canary.minimum": Higher(),
    "strategy.ab.minimum": Higher(),
    "staging": Ordered(("none", "smoke")),
    "approval": Switch(),
    "approval.people": Higher(),
    "approval.expires": Lower(),
    "watch": Switch(),
    "watch.for": Higher(),
    "watch.on": More(),
    "watch.rollback": Ordered((False, True)),
    "watch.errors": Lower(),
    "watch.latency_factor": Lower(),
    "drift.budget.false_alarms": Higher(),  # drift is announced sooner
    "drift.budget.per_windows": Lower(),
    "drift.metric_drop": Lower(),
    "drift.metric_drop.relative": Lower(),
    "drift.metric_drop.absolute": Lower(),
    "drift.alerts": ByMetric(),
    "drift.cooldown": Lower(),
    "serving.parity_tolerance": Lower(),
}
"""By key; `[]` stands for an entry of a list. A key that is not here has changed, and no more can be said."""


def direction(key: str, old: Any, new: Any) -> Direction:
    """Return what a change of this key is. Numbers are in one unit; `None`: the key is not there."""
    metric = None
    rule = RULES.get(key, Unknown())
    if key not in RULES and isinstance(RULES.get(key.rpartition(".")[0]), ByMetric):
        rule, metric = ByMetric(), key.rpartition(".")[2]
    match rule:
        case Switch():
            return _by(int(old not in OFF), int(new not in OFF))
        case Ordered(values):
            return _by(values.index(old), values.index(new)) if old in values and new in values else "changed"
        case More() | Fewer() if isinstance(old, Sequence) and isinstance(new, Sequence):
            found = _by_entries(set(old), set(new))
            return found if isinstance(rule, More) or found == "changed" else _reverse(found)
        case ByMetric() if metric is not None:
            if old is None or new is None:
                return "tighter" if old is None else "looser"
            found = _by(old, new)
            return found if METRICS[metric].greater_is_better else _reverse(found)
        case Lower() | Higher() if _is_number(old) or _is_number(new):
            if not _is_number(old) or not _is_number(new):
                return ("tighter" if old is None else "looser") if None in (old, new) else "changed"
            return _by(old, new) if isinstance(rule, Higher) else _reverse(_by(old, new))
    return "changed"


def _by(old: float, new: float) -> Direction:
    return "changed" if old == new else "tighter" if new > old else "looser"


def _by_entries(old: set[Any], new: set[Any]) -> Direction:
    return "tighter" if old < new else "looser" if new < old else "changed"


def _reverse(found: Direction) -> Direction:
    return {"looser": "tighter", "tighter": "looser"}.get(found, "changed")  # type: ignore[return-value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
