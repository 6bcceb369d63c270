"""How often windows are judged as drift: `python -m benchmarks.drift_quality [--windows 400] [--peers] [--streams]`.

By the product's functions, by row splits and by past windows, on windows without drift and with it; with `--peers`
next to other detectors on the same windows, with `--streams` on flights and subscribers. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from benchmarks.drift_streams import DRIFTS, ORDINARY_DAY, World

from contracts import FeatureScore
from contracts.drift_settings import Budget, Drift
from drift.scoring.calibration import Calibration, calibrated
from drift.scoring.scores import Reference, compare

SIZES = (200, 500, 2000, 10_000)
REFERENCE_ROWS = 5000
WORLDS = 10
"""References, each with past windows of its own."""
PAST = (0, 7, 19, 40)
"""Past windows that limits are calibrated on; 0: row splits."""
FIXED = (0.02, 0.1, 0.5)
NOTHING = "nothing"
SHARE = Budget().share

Alarms = dict[tuple[str, str], list[bool]]
"""By drift and rule, window after window."""


def alarms_of(size: int, day: float, windows: int) -> Alarms:
    found: Alarms = {}
    for seed in range(WORLDS):
        world = World(seed, day)
        reference = Reference.of(world.reference(REFERENCE_ROWS))
        past = [compare(reference, world.window(size, 1 + number)).summaries for number in range(max(PAST))]
        limits = {
            f"{known} past windows" if known else "row splits": calibrated(
                reference, size, SHARE, past[max(PAST) - known :], [], 0.5
            )
            for known in PAST
        }
        for number in range(windows // WORLDS):
            window = world.window(size, 1000 + number)
            usual = compare(reference, window).scores
            for drift, change in {NOTHING: None, **DRIFTS}.items():
                scores = usual
                if change is not None:
                    changed = change(window)
                    others = [score for score in usual if score.feature not in changed.columns]
                    scores = (*others, *compare(reference, changed).scores)
                _judge(found, drift, scores, limits)
    return found


def _judge(found: Alarms, drift: str, scores: Sequence[FeatureScore], limits: Mapping[str, Calibration]) -> None:
    for rule, calibration in limits.items():
        known = calibration.limits
        alarm = any(score.score >= known[score.feature, score.method][1] for score in scores)
        found.setdefault((drift, rule), []).append(alarm)
    share = len({score.feature for score in scores if score.drifted}) / len({score.feature for score in scores})
    for fixed in FIXED:
        found.setdefault((drift, f"drift_share {fixed:g}"), []).append(share >= fixed)


def announced_after(alarms: Sequence[bool]) -> float:
    """Return the mean number of windows until drift is announced by the default of `after`; NaN if it never is."""
    after = Drift().after
    waits = []
    for start in range(len(alarms) - after.windows):
        seen = (sum(alarms[max(start, end - after.windows + 1) : end + 1]) for end in range(start, len(alarms)))
        wait = next((count for count, drifted in enumerate(seen, 1) if drifted >= after.drifted), None)
        if wait is not None:
            waits.append(wait)
    return float(np.mean(waits)) if len(waits) > len(alarms) / 2 else float("nan")


def table(title: str, day: float, windows: int, rules: Iterable[str], sizes: Sequence[int]) -> None:
    rules = list(rules)
    print(f"\n{title}\n")
    print(f"| window | what moved | {' | '.join(rules)} | rows until announced |")
    print(f"|---|---|{'--:|' * (len(rules) + 1)}")
    for size in sizes:
        found = alarms_of(size, day, windows)
        for drift in (NOTHING, *DRIFTS):
            cells = [f"{np.mean(found[drift, rule]):.1%}" for rule in rules]
            wait = announced_after(found[drift, rules[-1]])
            rows = f"{size * wait:,.0f}" if np.isfinite(wait) and drift != NOTHING else "–"
            print(f"| {size:,} | {drift} | {' | '.join(cells)} | {rows} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=400, help="windows a cell")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--peers", action="store_true", help="other detectors on the same windows")
    parser.add_argument("--streams", action="store_true", help="flights and subscribers instead")
    chosen = parser.parse_args()
    if chosen.streams:
        from benchmarks.drift_flights import print_streams

        print_streams()
        return
    if chosen.peers:
        from benchmarks.drift_peers import print_peers

        print_peers(chosen.windows, chosen.sizes)
        return
    fixed = [f"drift_share {share:g}" for share in FIXED]
    past = [f"{known} past windows" for known in PAST if known]
    table("Rows are independent", 0.0, chosen.windows, [*fixed, "row splits"], chosen.sizes)
    title = f"Every number of a day differs by {ORDINARY_DAY:g} sd"
    table(title, ORDINARY_DAY, chosen.windows, [*fixed, "row splits", *past], chosen.sizes)


if __name__ == "__main__":
    main()
