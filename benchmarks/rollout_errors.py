"""How often rollouts promote and stop versions that are equal, better or worse, looking after every message.

`python -m benchmarks.rollout_errors [--rollouts 2000]` plays whole rollouts through the product's `plan` and
`next_action`, on cumulative RolloutMeasured; on the same units, judges as other systems have them (rollout_judges.py).
Looks between which no count moved that a test reads, or at which a vectorised formula of the same test is far from
deciding, are skipped; every 1,000th is made nevertheless, and one that decides alone ends the benchmark as an error.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from benchmarks import rollout_judges as judges
from benchmarks.rollout_looks import UNITS_PER_SECOND, looks, z_of_arms
from benchmarks.rollout_streams import BEGAN, Floats, Stream, Versions, cumulated, stream

from contracts import Loss
from contracts.losses import LossKind
from contracts.policy import ModelPolicy
from gatekeeper.policy.rollout import (
    Abort,
    Action,
    Advance,
    Continue,
    Keep,
    RollBack,
    Step,
    next_action,
    plan,
    watch_of,
)

RIGHT_OR_WRONG, BRIER = Loss(kind=LossKind.ZERO_ONE), Loss(kind=LossKind.BRIER)


@dataclass(frozen=True)
class Ended:
    action: Action
    units: int
    """Of both arms, since the rollout began."""
    of_tried: int
    """Predictions of the tried version since the step began."""


def policy(**keys: object) -> ModelPolicy:
    return ModelPolicy.model_validate({"model": "m", "problem": "binary", **keys})


SHADOW = plan(policy(strategy={"shadow": {"rows": "500..10000", "on": ["metric", "errors"]}}))
AGREES = plan(policy(strategy={"shadow": {"rows": "500..10000", "on": ["agreement", "errors"], "agreement": 0.95}}))
CANARY = plan(policy(strategy={"canary": {"maximum": 10_000, "on": ["metric", "errors", "latency"]}}))
ONLY_ERRORS = plan(policy(strategy={"canary": {"steps": ["10%", "50%"], "on": ["errors", "latency"]}}))
HARM = plan(policy(strategy={"canary": {"steps": ["10%"], "maximum": 10_000, "on": ["metric", "errors"]}}))
AB = plan(policy(strategy={"ab": {"maximum": 20_000}}))
WATCH = watch_of(policy(watch={"for": "24h", "on": ["errors", "metric"]}))
assert WATCH is not None


def play(steps: Sequence[Step], units: Stream, loss: Loss | None, agreed: Floats | None = None) -> Ended:
    """Play the steps one after another, each with sums of its own; without a decision, the last look's Continue."""
    begin, n = 0, units.loss.shape[1]
    action: Action = Continue("no units")
    for step in steps:
        began = BEGAN + timedelta(seconds=begin / UNITS_PER_SECOND)
        done = begin
        for look, is_check in looks(step, units, begin, loss, agreed):
            now = BEGAN + timedelta(seconds=look / UNITS_PER_SECOND)
            action = next_action(step, began, units.measured(look, begin, agreed), now, loss=loss)
            if not isinstance(action, Continue):
                assert not is_check, f"a skipped look decides at {look}: {action}"
                done = look
                break
        tried = int(units.totals[1]["units"][done if done > begin else n] - units.totals[1]["units"][begin])
        if not isinstance(action, Advance):
            return Ended(action, done if done > begin else n, tried)
        begin = done
    return Ended(action, begin, tried)


def play_split(steps: Sequence[Step], random: np.random.Generator, n: int, of: Versions, loss: Loss | None) -> Ended:
    """Play steps with different shares: each on units of its own, with the champion's history of those before."""
    history, errors, units = of.history, None, 0
    ended: Ended | None = None
    for step in steps:
        drawn = stream(random, n, of, step.share, latency="latency" in step.on)
        errors = drawn.history_errors if errors is None else errors
        ended = play([step], Stream(drawn.loss, drawn.failed, drawn.bucket, errors, history, drawn.split), loss)
        units += ended.units
        if not isinstance(ended.action, Advance):
            break
        history += int(drawn.totals[0]["units"][ended.units])
        errors += int(drawn.totals[0]["errors"][ended.units])
    assert ended is not None
    return Ended(ended.action, units, ended.of_tried)


@dataclass(frozen=True)
class Strategy:
    name: str
    play: Callable[[np.random.Generator, Versions], Ended]
    equal: Versions = field(default_factory=Versions)
    rates: tuple[float, ...] = (0.001,)
    """Of failures, of both versions."""
    proves: bool = True
    """Whether it promotes only what is shown to be better."""


def _shadow(random: np.random.Generator, of: Versions) -> Ended:
    return play(SHADOW, stream(random, 10_000, of), BRIER if of.brier else RIGHT_OR_WRONG)


def _agrees(random: np.random.Generator, of: Versions) -> Ended:
    units = stream(random, 10_000, of)
    agreed = cumulated(random.random(10_000) < 0.95)
    return play(AGREES, units, None, agreed)


def _split(steps: Sequence[Step], n: int) -> Callable[[np.random.Generator, Versions], Ended]:
    return lambda random, of: play_split(steps, random, n, of, RIGHT_OR_WRONG)


def _watch(random: np.random.Generator, of: Versions) -> Ended:
    assert WATCH is not None
    return play([WATCH], stream(random, 10_000, of), RIGHT_OR_WRONG)


RATES = (0.0, 0.0001, 0.001, 0.01)
STRATEGIES = [
    Strategy("shadow, right or wrong", _shadow, rates=RATES),
    Strategy("shadow, Brier score", _shadow, Versions(brier=True)),
    Strategy("shadow, agreement exactly as required", _agrees),
    Strategy("canary 1 %, 10 %, 50 % on metric, errors, latency", _split(CANARY, 25_000)),
    Strategy("canary 10 %, 50 % on errors, latency", _split(ONLY_ERRORS, 25_000), rates=RATES, proves=False),
    Strategy("A/B 50 %", _split(AB, 20_000)),
    Strategy("watch (stopped: rolled back)", _watch, rates=RATES, proves=False),
]


def outcomes(
    rollouts: int, play: Callable[[np.random.Generator, Versions], Ended], of: Versions, seed: int
) -> list[Ended]:
    return [play(np.random.default_rng([seed, number]), of) for number in range(rollouts)]


def share(found: Sequence[Ended], *actions: type[Action]) -> float:
    return sum(isinstance(one.action, actions) for one in found) / len(found)


def print_equal(rollouts: int, numbers: Sequence[int]) -> None:
    print("\n| equal versions | fail | promoted | stopped for harm |\n|---|--:|--:|--:|")
    for number in numbers:
        strategy = STRATEGIES[number]
        for rate in strategy.rates:
            found = outcomes(rollouts, strategy.play, replace(strategy.equal, errors=(rate, rate)), number)
            promoted = f"{share(found, Advance):.1%}" if strategy.proves else "–"
            stopped = f"{share(found, Abort, RollBack):.2%}"
            print(f"| {strategy.name} | {rate:.2%} | {promoted} | {stopped} |", flush=True)


def print_judges(rollouts: int) -> None:
    """Print what each judge does with the same units: shadow for the paired ones, A/B for the others."""
    cases = {
        "equal": Versions(),
        "+0.02": Versions(gain=0.02),
        "-0.05": Versions(gain=-0.05),
        "fails 5 %": Versions(errors=(0.001, 0.05)),
    }
    print("\n| judge | " + " | ".join(f"{case}: promoted | stopped | median units" for case in cases) + " |")
    print("|---|" + "--:|--:|--:|" * len(cases))
    rows: dict[str, list[str]] = {}
    for place, of in enumerate(cases.values()):
        found: dict[str, list[tuple[str, int]]] = {}
        for number in range(rollouts if place == 0 else rollouts // 4):
            random = np.random.default_rng([100 + place, number])
            pairs, arms = stream(random, 10_000, of), stream(random, 20_000, of, 0.5)
            for name, ended in (
                ("shadow", play(SHADOW, pairs, RIGHT_OR_WRONG)),
                ("A/B", play(AB, arms, RIGHT_OR_WRONG)),
            ):
                found.setdefault(f"Gauntlet, {name}", []).append((_word(ended.action), ended.units))
            for name, judged in (
                ("z-test at each look, shadow", judges.peeked_z(judges.paired_z(pairs))),
                ("z-test at each look, A/B", judges.peeked_z(z_of_arms(arms))),
                ("thresholds (Argo Rollouts, Flagger), accuracy ≥ 0.83", judges.thresholds(arms, 0.83)),
                ("thresholds, accuracy ≥ 0.80", judges.thresholds(arms, 0.80)),
                ("Mann–Whitney (Kayenta)", judges.kayenta(arms)),
            ):
                found.setdefault(name, []).append(judged)
        for name, all_of in found.items():
            ended_at = [units for word, units in all_of if word != "kept"]
            median = f"{np.median(ended_at):,.0f}" if ended_at else "–"
            shares = [
                f"{sum(word == each for word, _ in all_of) / len(all_of):.1%}" for each in ("promoted", "stopped")
            ]
            rows.setdefault(name, []).extend([*shares, median])
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _word(action: Action) -> str:
    return "promoted" if isinstance(action, Advance) else "kept" if isinstance(action, Continue | Keep) else "stopped"


def print_power(rollouts: int) -> None:
    print("\n| shadow, right or wrong; rows on which the versions differ | 6 % | 8 % | 10 % | 15 % |")
    print("|---|--:|--:|--:|--:|")
    for gain, action in ((0.02, Advance), (-0.05, Abort)):
        cells = []
        for differ in (0.06, 0.08, 0.1, 0.15):
            found = outcomes(rollouts // 4, _shadow, Versions(gain=gain, differ=differ), 200)
            median = np.median([one.units if isinstance(one.action, action) else np.inf for one in found])
            cells.append(f"{median:,.0f} ({share(found, action):.1%})")
        print(
            f"| {gain:+g}: median entities until {action.__name__} (share by 10,000) | {' | '.join(cells)} |",
            flush=True,
        )


def print_canary(rollouts: int) -> None:
    """Print how many users meet a version that is worse, where no shadow came before."""
    of = Versions(gain=-0.05)
    found = outcomes(rollouts // 4, _split(HARM, 60_000), of, 400)
    met = [one.of_tried if isinstance(one.action, Abort) else math.inf for one in found]
    stopped, median = sum(map(math.isfinite, met)) / len(met), np.median(met)
    print(f"\n-0.05 in a canary at 10 % on metric, errors: {stopped:.1%} stopped, median {median:,.0f} users met it")


def print_errors(rollouts: int) -> None:
    print("\n| a version that fails 5 % of its requests | stopped within 100 of them | median |\n|---|--:|--:|")
    for name, steps, history in (
        ("shadow; the champion has 10,000 rows without an error", SHADOW, 10_000),
        ("canary at 1 %; the same", CANARY[:1], 10_000),
        ("canary at 10 %, 50 %; the same", ONLY_ERRORS[:1], 10_000),
        ("shadow; the champion has no history", SHADOW, 0),
    ):
        of = Versions(errors=(0.0, 0.05), history=history)
        split = steps[0].share or None
        met = []
        for number in range(rollouts):
            units = stream(np.random.default_rng([300, number]), 1000 if split is None else int(300 / split), of, split)
            ended = play(steps[:1], units, RIGHT_OR_WRONG)
            met.append(ended.of_tried if isinstance(ended.action, Abort) else math.inf)
        within = sum(each <= 100 for each in met) / len(met)
        print(f"| {name} | {within:.1%} | {np.median(met):,.0f} |", flush=True)


def print_cost() -> None:
    """Print the size of the evidence of a million predictions, and the time of one decision on it."""
    units = stream(np.random.default_rng(0), 1_000_000, Versions())
    sums = units.measured(1_000_000)
    for step, of, loss in ((SHADOW[0], sums, RIGHT_OR_WRONG), (CANARY[-1], sums, RIGHT_OR_WRONG)):
        next_action(step, BEGAN, of, BEGAN, loss=loss)
        times = []
        for _ in range(500):
            began = time.process_time()  # the machine may be busy with other things
            next_action(step, BEGAN, of, BEGAN, loss=loss)
            times.append(time.process_time() - began)
        middle, late = 1000 * np.quantile(times, (0.5, 0.99))
        size = len(sums.model_dump_json()) / 1000
        print(f"\n{step.stage.value}, 1,000,000 predictions: {size:.1f} kB a message; a decision takes", end=" ")
        print(f"{middle:.2f} ms (p99 {late:.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rollouts", type=int, default=2000, help="of equal versions, each strategy; a quarter of others"
    )
    parser.add_argument("--only", choices=["equal", *PARTS], nargs="*", default=["equal", *PARTS])
    every = range(len(STRATEGIES))
    parser.add_argument("--strategies", type=int, choices=every, nargs="*", default=every, help="of equal, by number")
    chosen = parser.parse_args()
    began = time.monotonic()
    for part in chosen.only:
        if part == "equal":
            print_equal(chosen.rollouts, chosen.strategies)
        else:
            PARTS[part](chosen.rollouts)
        print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr)


PARTS: dict[str, Callable[[int], None]] = {
    "cost": lambda _: print_cost(),
    "errors": print_errors,
    "power": print_power,
    "canary": print_canary,
    "judges": print_judges,
}

if __name__ == "__main__":
    main()
