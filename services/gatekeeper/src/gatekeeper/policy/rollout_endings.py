"""What would end a rollout's step, how near it is, and when it would at the observed rate and difference. Pure.

The numbers of units are those of `contracts.rollout_units`, at the median: half of the time it is sooner. Nothing is
decided with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts import Loss, Mode, RolloutMeasured, Stage
from contracts.durations import about
from contracts.losses import LossKind
from contracts.rollout_units import MOST, agreeing, betting, discordant, two_arms
from gatekeeper.policy.rollout import PATIENCE, counted, decided_by, findings
from gatekeeper.policy.rollout_figures import Evidence, Finding
from gatekeeper.policy.rollout_plan import Step

HALF = 0.5
"""The quantile of the forecasts."""
RECENT = timedelta(minutes=10)
"""Over which a rate is taken; less while a step is younger."""
GOES_ON, ABORTED, STAYS = "it goes on", "it is aborted", "the champion stays"
ROLLED_BACK, WARNS, OVER = "the former champion is back", "a warning", "the watch is over"
AT_ONCE = "at once, when it is so"


@dataclass(frozen=True)
class Seen:
    """Numbers of rows and units at one time, by what is judged; `counted` and `total` as of `rollout.counted`."""

    at: datetime
    counted: int
    total: int
    n: Mapping[str, int]


@dataclass(frozen=True)
class Ending:
    """One thing that would end the step. `share`: how far it is, 0 to 1; None: that has no measure."""

    leads_to: str
    condition: str
    standing: str
    share: float | None
    when: str


@dataclass(frozen=True)
class Look:
    """A trial or a watch, as it is now. `loss`: as for `next_action`; `seen`: its points, oldest first."""

    step: Step
    began_at: datetime
    measured: RolloutMeasured | None
    loss: Loss | None
    seen: Sequence[Seen]
    now: datetime


def endings(look: Look) -> tuple[Ending, ...]:
    """Return what would end the step, the good end first; of one without sums, what time and numbers end.

    Raises ValueError as `next_action` does.
    """
    if look.step.mode is Mode.OFF:
        raise ValueError(f"{look.step.stage.value} is neither a trial nor a watch")
    found = findings(look.step, look.measured, look.loss) if look.measured is not None else {}
    harm = [each for name, finding in found.items() for each in _harm(look, name, finding)]
    if look.step.stage is Stage.WATCH:
        return (_by_time(look, OVER, "no harm was shown for the whole watch"), *harm)
    return (*_good(look, found), *harm)


def odds(strength: float) -> str:
    """Return evidence as odds: 34 to 1."""
    if strength >= math.log(1e6):
        return "more than a million to 1"
    if strength < math.log(0.001):
        return "less than 0.001 to 1"
    found = math.exp(strength)
    return f"{found:,.0f} to 1" if found >= 999.5 else f"{found:.3g} to 1"


def rate(points: Sequence[tuple[datetime, int]], now: datetime) -> float | None:
    """Return units a second up to now, from numbers at times, oldest first; None: nothing has come."""
    if not points:
        return None
    since, before = next((each for each in reversed(points) if each[0] <= now - RECENT), points[0])
    seconds, more = (now - since).total_seconds(), points[-1][1] - before
    return more / seconds if seconds > 0 and more > 0 else None


def units_needed(look: Look, name: str, finding: Finding, *, gain: bool) -> int | None:
    """Return how many units in all show a gain (or a harm) half of the time, at the observed difference; None: never.

    `finding`: of `name`, metric or agreement.
    """
    if look.measured is None:
        return None
    alpha = next((math.exp(-each.needed) for each in finding.evidence if each.harm != gain), None)
    if name == "agreement":
        return _agreeing(look.measured, finding, alpha, gain=gain)
    if finding.interval is not None:
        return _of_arms(look, finding, gain=gain)
    paired = look.measured.paired
    if look.loss is None or alpha is None or paired.n == 0:
        return None
    turned = -1 if look.step.stage is Stage.WATCH else 1  # there, the tried version is the former champion
    if look.loss.kind is LossKind.ZERO_ONE and look.loss.margin == 0:
        effect = turned * (paired.wins - paired.losses) / paired.n
        if (effect > 0) != gain or effect == 0:
            return None
        return discordant((paired.wins + paired.losses) / paired.n, effect, alpha, HALF)
    mean, margin = turned * paired.sum_d / paired.n, look.loss.margin
    spread = math.sqrt(max(0.0, paired.sum_d2 / paired.n - mean**2))
    bound, towards = (1 - margin, mean + margin) if gain else (1 + margin, -mean - margin)
    return betting(towards / bound, spread / bound, alpha, HALF) if towards > 0 else None


def _agreeing(measured: RolloutMeasured, finding: Finding, alpha: float | None, *, gain: bool) -> int | None:
    required = finding.figure.bound
    if alpha is None or required is None or measured.compared == 0:
        return None
    true, bound = measured.agreed / measured.compared, required
    if not gain:
        true, bound = 1 - true, 1 - required
    return agreeing(min(true, 1 - 1e-9), bound, alpha, HALF) if true > bound else None


def _of_arms(look: Look, finding: Finding, *, gain: bool) -> int | None:
    interval, measured = finding.interval, look.measured
    if interval is None or measured is None:
        return None
    arms = (measured.champion, measured.tried)
    n = sum(each.labelled for each in arms)
    variance = sum(max(0.0, each.loss2 - each.loss**2 / each.labelled) for each in arms) / n
    distance = interval.observed - interval.bound
    alpha = look.step.alpha if gain else look.step.alpha_harm
    return two_arms(distance if gain else -distance, variance, alpha, measured.tried.labelled / n, HALF)


def _by_time(look: Look, leads_to: str, condition: str) -> Ending:
    total, passed = look.step.duration.total_seconds(), max(0.0, (look.now - look.began_at).total_seconds())
    share = min(1.0, passed / total) if total else 1.0
    when = f"in {about(total - passed)}" if total > passed else "now"
    return Ending(leads_to, condition, f"{about(passed)} of {about(total)}", share, when)


def _good(look: Look, found: Mapping[str, Finding]) -> Iterator[Ending]:
    """Yield what ends it well, and the maximum at which the champion stays."""
    step, measured = look.step, look.measured
    judged = decided_by(step, found or step.on)
    enough = total = 0
    unit = "units"
    if measured is not None:
        unit, enough, total = counted(step, judged, measured)
    if step.minimum:
        condition = f"at least {step.minimum:,} {unit}" + (", without harm" if judged is None else "")
        yield _by_number(look, GOES_ON, condition, enough, step.minimum, [(x.at, x.counted) for x in look.seen])
    if step.duration:
        yield _by_time(look, GOES_ON, f"it has lasted {about(step.duration.total_seconds())}")
    if judged is not None and judged in found:
        yield from _shown(look, judged, found[judged], GOES_ON, gain=True)
    if judged is not None and step.maximum is not None:
        grows = [(x.at, x.total) for x in look.seen]
        yield _by_number(look, STAYS, f"nothing was shown on {step.maximum:,} {unit}", total, step.maximum, grows)
        if judged == "metric" and measured is not None:
            most = PATIENCE * step.maximum
            condition = f"labels do not come: {most:,} units were predicted, and too few have one"
            yield _by_number(look, STAYS, condition, measured.tried.units, most, None)


def _by_number(
    look: Look, leads_to: str, condition: str, number: int, most: int, seen: Sequence[tuple[datetime, int]] | None
) -> Ending:
    when = "–" if seen is None else _in(most - number, rate(seen, look.now))
    return Ending(leads_to, condition, f"{number:,} of {most:,}", min(1.0, number / most), when)


def _harm(look: Look, name: str, finding: Finding) -> Iterator[Ending]:
    """Yield what ends it badly, of one thing that is judged. Errors need both of their statements."""
    leads_to = STAYS if name in ("agreement", "sample ratio") else ABORTED
    if look.step.stage is Stage.WATCH:
        leads_to = ROLLED_BACK if look.step.rolls_back else WARNS
    if name != "errors":
        yield from _shown(look, name, finding, leads_to, gain=False)
        return
    condition = ", and ".join(each.shows for each in finding.evidence)
    standing = "; ".join(_standing(each) for each in finding.evidence)
    share = 1.0 if finding.harm else min(0.99, *map(_share, finding.evidence))
    yield Ending(leads_to, condition, standing, share, AT_ONCE)


def _shown(look: Look, name: str, finding: Finding, leads_to: str, *, gain: bool) -> Iterator[Ending]:
    """Yield what shows a gain, or a harm."""
    when = _when(look, name, finding, gain=gain)
    if (interval := finding.interval) is not None:
        word, most, end = ("more", "least", interval.low) if gain else ("less", "most", interval.high)
        condition = f"its mean loss is lower by {word} than {interval.bound:.4g}, at {most}"
        standing = f"lower by {end:.4g} at {most}, {interval.observed:.4g} observed"
        yield Ending(leads_to, condition, standing, 1.0 if when == "now" else None, when)
    elif name == "metric" and not finding.evidence:
        yield Ending(leads_to, "it is better" if gain else "it is worse", finding.figure.reason, None, when)
    for each in finding.evidence:
        if each.harm != gain:
            yield Ending(leads_to, each.shows, _standing(each), _share(each), when)


def _standing(evidence: Evidence) -> str:
    return f"evidence {odds(evidence.strength)}; {odds(evidence.needed)} decides"


def _share(evidence: Evidence) -> float:
    return min(1.0, max(0.0, evidence.strength / evidence.needed))


def _when(look: Look, name: str, finding: Finding, *, gain: bool) -> str:
    if finding.proven if gain else finding.harm:
        return "now"
    if name not in ("metric", "agreement"):
        return AT_ONCE
    if not finding.evidence and finding.interval is None:
        return "unknown: there are too few labels"
    needed = units_needed(look, name, finding, gain=gain)
    if needed is None or needed >= MOST:
        return "not at the observed difference"
    per_second = rate([(each.at, each.n.get(name, 0)) for each in look.seen], look.now)
    return f"{_in(needed - finding.figure.n, per_second)}, at the observed difference"


def _in(units: float, per_second: float | None) -> str:
    if units <= 0:
        return "any moment"
    return f"in {about(units / per_second)}" if per_second else "never at this rate: none come"
