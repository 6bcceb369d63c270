"""How long a policy's rollout takes at a given rate of entities: a table for `gauntlet policy check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from chassis.explain.quantities import percent, rounded
from chassis.explain.rollout import named
from contracts.durations import about
from contracts.policy import ModelPolicy
from contracts.rollout_settings import Canary, Shadow
from contracts.rollout_units import MOST
from gauntlet.power_analysis import CLOSELY, LOOSELY, ORDINARY
from gauntlet.rollout_power import NEARLY_ALWAYS, Need, needs

RATES = (1.0, 10.0, 100.0)
"""Entities a second, where none is given."""
GOOD = "until the end, if it is better"


@dataclass(frozen=True)
class Forecast:
    """What one step needs."""

    step: str
    shown: str
    units: str
    seconds: tuple[float | None, ...]
    """For each rate, 19 of 20 times within; None: longer than anybody waits."""
    gain: bool
    """Whether the rollout goes on after it."""


def forecasts(policy: ModelPolicy, rates: Sequence[float] = RATES) -> list[Forecast]:
    """Return what each step needs, and how long that takes at these rates of entities a second."""
    found: list[Forecast] = []
    wanted = needs(policy)
    for name, trial in named(policy):
        of_trial = [need for need in wanted if need.step == name]
        if isinstance(trial, Canary):
            found += _steps(trial, rates, decides=any(need.gain for need in of_trial))
        elif isinstance(trial, Shadow) and not any(need.gain for need in of_trial):
            if {"metric", "agreement"} & set(trial.on):
                continue  # what labels are compared by is not known before there is a version
            seconds = tuple(trial.rows[0] / rate for rate in rates)
            found.append(Forecast(name, "no harm", f"{trial.rows[0]:,}", seconds, gain=True))
        maturity = policy.label_maturity.total_seconds() if "metric" in trial.on else 0.0
        least = trial.bake.total_seconds() if isinstance(trial, Canary) else 0.0
        found += [_forecast(need, maturity, least, rates) for need in of_trial]
    gains = [each for each in found if each.gain]
    if len(gains) > 1:
        sums = zip(*(each.seconds for each in gains), strict=True)
        total = tuple(None if None in each else sum(each) for each in sums)  # type: ignore[arg-type]
        found.append(Forecast("all steps", GOOD, "", total, gain=False))
    return found


def rows(found: Sequence[Forecast]) -> list[tuple[str, ...]]:
    """Return step, what it shows, units and times, as text."""
    return [
        (each.step, each.shown, each.units or "–", *("never" if s is None else about(s) for s in each.seconds))
        for each in found
    ]


def columns(policy: ModelPolicy, rates: Sequence[float]) -> tuple[str, ...]:
    unit = policy.entity or "row"
    times = tuple(f"at {rate:.4g} {unit}/s" for rate in rates)
    return ("step", "shows", f"{unit}: half of the time · {NEARLY_ALWAYS:.0%}", *times)


def assumptions(policy: ModelPolicy) -> str:
    unit = f"different values of {policy.entity}" if policy.entity else "rows (the policy has no entity)"
    return (
        f"Computed for models of accuracy {ORDINARY:g} whose scores correlate by {CLOSELY:g} (the smaller number) to "
        f"{LOOSELY:g}. Counted are {unit}, each with a label; the times are for {NEARLY_ALWAYS:.0%} of all cases, and "
        "contain the maturity of labels. With fewer labels a step takes longer in proportion."
    )


def forecast_json(found: Sequence[Forecast], rates: Sequence[float]) -> list[dict[str, object]]:
    return [
        {**asdict(each), "seconds": dict(zip((f"{rate:g}/s" for rate in rates), each.seconds, strict=True))}
        for each in found
    ]


def seconds_of_step(canary: Canary, share: float, rate: float) -> float:
    """Return how long a step of a canary lasts at least."""
    return max(canary.bake.total_seconds(), canary.minimum / (share * rate))


def _steps(canary: Canary, rates: Sequence[float], *, decides: bool) -> list[Forecast]:
    shares = canary.steps[:-1] if decides else canary.steps
    return [
        Forecast(
            f"canary {percent(share)}",
            "no harm",
            rounded(canary.minimum / share),
            tuple(seconds_of_step(canary, share, rate) for rate in rates),
            gain=True,
        )
        for share in shares
    ]


def _forecast(need: Need, maturity: float, least_seconds: float, rates: Sequence[float]) -> Forecast:
    least, most = (rounded(number) for number in need.usual)
    usual = least if least == most else f"{least} to {most}"
    never = need.most >= MOST or (need.maximum is not None and need.most > need.maximum)
    at_most = "more than the maximum" if never and need.maximum is not None else rounded(need.most)
    step = need.step if need.share == 1.0 else f"{need.step} {percent(need.share)}"
    units = min(need.most, need.maximum or need.most)
    at_least = least_seconds if need.gain else 0.0
    seconds = tuple(None if units >= MOST else max(at_least, units / rate + maturity) for rate in rates)
    return Forecast(step, need.shown, f"{usual} · {at_most}", seconds, need.gain)
