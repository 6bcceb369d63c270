"""The leakage that motivated this project, on the real data: `python -m benchmarks.streamflow_leakage`.

Needs StreamFlow's two snapshots (STREAMFLOW_DATA); prints both comparisons for several seeds of the splits.
"""

from __future__ import annotations

import os
import sys

from contracts.gate_settings import Leakage, Performance
from gatekeeper.policy.gates import leakage, performance
from support import seeds_trap

SEEDS = ((7, 42), (1, 2), (3, 4))


def main() -> int:
    if not seeds_trap.ORIGINAL.is_dir():
        print("not measured: the StreamFlow data are not here (STREAMFLOW_DATA)")
        return 0
    os.environ.setdefault("CHURN_DATA_DIR", str(seeds_trap.ORIGINAL))
    print(
        "| seeds of champion, challenger | golden rows | champion trained on | all rows: champion, challenger |", end=""
    )
    print(" clean rows | clean: champion, challenger | verdict on all rows | on the clean ones |")
    print("|---|--:|--:|--:|--:|--:|---|---|")
    without = seeds_trap.POLICY.gates.model_copy(update={"leakage": False})
    for champion_seed, seed in SEEDS:
        measured = seeds_trap.measurements(champion_seed, seed)
        details = leakage.decide(leakage.facts(measured, seeds_trap.POLICY), Leakage()).details
        naive_policy = seeds_trap.POLICY.model_copy(update={"gates": without})
        naive = performance.decide(performance.facts(measured, naive_policy), Performance())
        fair = performance.decide(performance.facts(measured, seeds_trap.POLICY), Performance())
        both = [
            f"{found['champion v1']:.4f}, {found['the candidate']:.4f}"
            for found in (details["all_rows"], details["clean_rows"])
        ]
        share = details["models"]["champion v1"]["share"]
        cells = [f"{champion_seed}, {seed}", details["rows"], f"{share:.1%}", both[0], details["clean"], both[1]]
        print("|", *(f"{cell} |" for cell in (*cells, naive.outcome.value, fair.outcome.value)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
