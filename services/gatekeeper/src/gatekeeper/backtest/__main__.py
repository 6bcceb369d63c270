"""`python -m gatekeeper.backtest HISTORY POLICY`: backtest a policy on a history from `python -m trainer.history`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from chassis.errors import Permanent
from chassis.policies import load_policy
from contracts.metrics import METRICS
from gatekeeper.backtest.history import read
from gatekeeper.backtest.report import markdown, report


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gatekeeper.backtest", description=__doc__)
    parser.add_argument("history", type=Path, help="a folder that trainer.history has written")
    parser.add_argument("policy", type=Path, help="the policy to play")
    parser.add_argument("--metric", choices=sorted(METRICS), help="judge and measure by this instead of the policy's")
    parser.add_argument("--json", action="store_true", help="everything, window by window, instead of a table")
    given = parser.parse_args(argv)
    try:
        policy = load_policy(given.policy)
        found = report(read(given.history), policy, given.metric or policy.metric)
    except (Permanent, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(json.dumps(found, indent=1) if given.json else "\n".join(markdown(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
