"""The figures of docs/explanation/backtest.md: which policy serves best, over flights and generated churn streams.

`python benchmarks/backtest_figures.py CACHE [choose|report|shadows]` prints Markdown tables. Policies are compared on
some streams (`choose`), and the chosen ones are reported on others (`report`, `shadows`). The predictions of each
version are made once and kept in CACHE (a quarter of an hour of one core); after that, a part takes a few minutes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from chassis.policies import load_policy
from contracts.gate_settings import Performance
from contracts.policy import ModelPolicy
from examples import churn, churn_data, flights
from gatekeeper.backtest import contenders
from gatekeeper.backtest.contenders import Contender
from gatekeeper.backtest.history import History, read
from gatekeeper.backtest.replay import Played, oracle_newest_or_stay, oracle_of_all, play, regret
from gatekeeper.backtest.shadows import play_shadowed, step_of
from trainer.history import build
from trainer.recipes.recipe import code_version, load_recipe
from trainer.recipes.timeline import by_time, by_window

MONTHS, USERS = 30, 5000
KINDS: tuple[churn_data.Drift, ...] = ("gradual", "sudden", "recurring", "none")
CHOOSING, REPORTING = range(1, 4), range(101, 107)
"""Seeds of the churn streams."""
CHOOSING_AIRPORTS, REPORTING_AIRPORTS = ("EWR",), ("JFK", "LGA")
METRIC = "log_loss"


class FlightsFrom(flights.FlightsRecipe):
    """The flights of one airport: a stream of its own, in the same year."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def load(self, window: str) -> pd.DataFrame:
        found = super().load(window)
        return found[found["origin"] == self._origin].reset_index(drop=True)


@dataclass(frozen=True)
class Stream:
    kind: str
    name: str
    history: History


def flights_stream(cache: Path, origin: str | None) -> Stream:
    policy = load_policy(Path("policies/flights-delay.yaml"))
    recipe = flights.recipe if origin is None else FlightsFrom(origin)
    out = cache / f"flights-{origin or 'all'}"
    if not (out / "history.json").is_file():
        timeline = by_time(recipe, policy.problem, timedelta(days=14), timedelta(days=60))
        build(policy, timeline, recipe, code_version(flights), out, say)
    return Stream("flights", origin or "all", read(out))


def churn_stream(cache: Path, drift: churn_data.Drift, seed: int) -> Stream:
    policy = load_policy(Path("policies/churn.yaml"))
    out = cache / f"churn-{drift}-{seed}-{MONTHS}x{USERS}"
    if not (out / "history.json").is_file():
        recipe, module = load_recipe("examples.churn:recipe")
        with tempfile.TemporaryDirectory() as folder:
            churn_data.write(Path(folder), MONTHS, USERS, seed, drift)
            os.environ[churn.DATA_DIR_VARIABLE] = folder
            timeline = by_window(recipe, policy.problem, policy.training.windows)
            build(policy, timeline, recipe, code_version(module), out, say)
    return Stream(drift, f"{drift} {seed}", read(out))


def streams(cache: Path, seeds: Sequence[int], airports: Sequence[str]) -> Iterator[Stream]:
    for airport in airports:
        yield flights_stream(cache, airport)
    for drift in KINDS:
        for seed in seeds:
            yield churn_stream(cache, drift, seed)


def performance(rule: object, **settings: object) -> Performance:
    return Performance.model_validate({"rule": rule, **settings})


RULES = {
    "non-inferior": performance("non_inferior"),
    "superior": performance("superior"),
    "better": performance({"delta": 0.0}),
    "better by 0.002": performance({"delta": 0.002}),
    "better by 0.01": performance({"delta": 0.01}),
}


def field() -> list[Contender]:
    """Return all policies that were tried."""
    found = [contenders.never(), contenders.always()]
    found += [contenders.newest(f"newest, {name}", METRIC, rule) for name, rule in RULES.items()]
    for most, windows in ((5, 1), (10, 1), (20, 1), (None, 1), (10, 2), (None, 2), (10, 3), (None, 3)):
        for name, rule in RULES.items():
            over = f" over {windows} windows" if windows > 1 else ""
            label = f"retained {most or 'all'}, {name}{over}"
            found.append(contenders.retained(label, METRIC, rule, most=most, windows=windows))
    return found


def finalists() -> list[Contender]:
    """Return the chosen policy, and the policies to compare it with."""
    shown = ("non-inferior", "superior", "better", "better by 0.01")
    return [
        contenders.never(),
        contenders.always(),
        *(contenders.newest(f"newest, {name}", METRIC, RULES[name]) for name in shown),
        *(contenders.retained(f"retained, {name}", METRIC, RULES[name]) for name in shown),
        contenders.retained("retained 10, superior", METRIC, RULES["superior"], most=10),
        contenders.retained("retained, superior over 2 windows", METRIC, RULES["superior"], windows=2),
    ]


CHOSEN = "retained, superior"

Results = dict[str, dict[str, list[tuple[Played, float]]]]
"""By policy and kind of stream: the versions served, and the regret."""


def play_all(found: Sequence[Stream], field: Sequence[Contender]) -> Results:
    played: Results = {}
    for stream in found:
        say(0, stream.name)
        best = oracle_of_all(stream.history, METRIC)
        ones = [play(stream.history, contender, METRIC) for contender in field]
        for one in (*ones, oracle_newest_or_stay(stream.history, METRIC), best):
            of_kind = played.setdefault(one.name, {}).setdefault(stream.kind, [])
            of_kind.append((one, regret(one, best, METRIC)))
    return played


def print_table(played: Results) -> None:
    """Print one row per policy: by kind of stream, the mean served metric and mean number of promotions."""
    kinds = list(next(iter(played.values())))
    print("\n| policy | " + " | ".join(f"{kind} | prom." for kind in kinds) + " | mean regret |")
    print("|---|" + "--:|--:|" * len(kinds) + "--:|")
    for name, by_kind in played.items():
        cells, regrets = [], []
        for found in by_kind.values():
            cells.append(f"{np.mean([one.value for one, _ in found]):.4f}")
            cells.append(f"{np.mean([one.promotions for one, _ in found]):.1f}")
            regrets.append(np.mean([lost for _, lost in found]))
        print(f"| {name} | {' | '.join(cells)} | {np.mean(regrets):.4f} |")


def print_differences(played: Results, chosen: str) -> None:
    """Print how much lower the loss of the chosen policy is than that of each other one, stream by stream."""
    kinds = list(played[chosen])
    print(f"\n| {chosen}, less loss than | " + " | ".join(kinds) + " |")
    print("|---|" + "--:|" * len(kinds))
    for name, by_kind in played.items():
        cells = []
        for kind in kinds:
            gains = [
                other.value - own.value
                for (own, _), (other, _) in zip(played[chosen][kind], by_kind[kind], strict=True)
            ]
            error = f" ± {np.std(gains, ddof=1) / np.sqrt(len(gains)):.4f}" if len(gains) > 1 else ""
            cells.append(f"{np.mean(gains):+.4f}{error} ({sum(gain > 0 for gain in gains)} of {len(gains)})")
        if name != chosen:
            print(f"| {name} | {' | '.join(cells)} |")


def choose(cache: Path) -> None:
    print_table(play_all(list(streams(cache, CHOOSING, CHOOSING_AIRPORTS)), field()))


def report(cache: Path) -> None:
    played = play_all(list(streams(cache, REPORTING, REPORTING_AIRPORTS)), finalists())
    print_table(played)
    print_differences(played, CHOSEN)
    print_table(play_all([flights_stream(cache, None)], finalists()))


def shadows(cache: Path) -> None:
    """Print what a shadow of so many rows costs in delay and gains in regret, by policy and kind of stream."""
    found = [flights_stream(cache, None), *(churn_stream(cache, drift, REPORTING[0]) for drift in KINDS)]
    policies = [
        contenders.always(),
        contenders.newest("newest, non-inferior", METRIC, RULES["non-inferior"]),
        contenders.retained(CHOSEN, METRIC, RULES["superior"]),
    ]
    print("\n| policy | shadow, rows | " + " | ".join(f"{stream.kind} | prom." for stream in found) + " | ", end="")
    print("mean regret | median delay, rows | not promoted |\n|---|---|" + "--:|" * (2 * len(found) + 3))
    for one in policies:
        for rows in (None, (100, 50_000), (500, 50_000), (2000, 50_000)):
            cells, regrets, delays, kept = [], [], [], 0
            for stream in found:
                say(0, f"{one.name} {rows} {stream.name}")
                played = play(stream.history, one, METRIC)
                if rows is not None:
                    policy = ModelPolicy.model_validate({"model": "m", "strategy": {"shadow": {"rows": rows}}})
                    shadowed = play_shadowed(stream.history, one, METRIC, step_of(policy))
                    played, delays, kept = shadowed.played, delays + list(shadowed.delays), kept + shadowed.kept
                cells += [f"{played.value:.4f}", str(played.promotions)]
                regrets.append(regret(played, oracle_of_all(stream.history, METRIC), METRIC))
            named = "none" if rows is None else f"{rows[0]:,}..{rows[1]:,}"
            waited = f"{np.median(delays):,.0f}" if delays else "–"
            print(f"| {one.name} | {named} | {' | '.join(cells)} | {np.mean(regrets):.4f} | {waited} | {kept} |")


def say(share: float, message: str) -> None:
    print(message, file=sys.stderr)


PARTS: dict[str, Callable[[Path], None]] = {"choose": choose, "report": report, "shadows": shadows}


def main(argv: list[str]) -> None:
    if not argv or any(name not in PARTS for name in argv[1:]):
        sys.exit(f"usage: python benchmarks/backtest_figures.py CACHE [{'|'.join(PARTS)}]")
    for name in argv[1:] or PARTS:
        PARTS[name](Path(argv[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
