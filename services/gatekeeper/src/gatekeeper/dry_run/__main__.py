"""`python -m gatekeeper.dry_run NAME VERSION POLICY`: every gate on one version; nothing is recorded.

Prints its progress as JSON, one object per line, and last the verdict. Settings are those of the gatekeeper.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chassis.errors import Permanent, Transient
from chassis.policies import load_policy
from chassis.telemetry import configure_logging
from contracts import Dataset, ModelRegistered
from gatekeeper.dry_run.judge import DryRun, Judge, Rows
from gatekeeper.evaluation.golden_roles import GoldenSource
from gatekeeper.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status: 0 whatever the verdict is."""
    parser = argparse.ArgumentParser(prog="python -m gatekeeper.dry_run", description=__doc__)
    parser.add_argument("name", help="the model's name in MLflow")
    parser.add_argument("version", type=int, help="the version's number")
    parser.add_argument("policy", type=Path, help="the policy to judge it by")
    parser.add_argument("--golden", type=Path, metavar="FILE", help="Parquet file of golden rows")
    parser.add_argument("--names", metavar="JSON", default="{}", help="its columns: label, entity, event_time")
    parser.add_argument("--stored", metavar="JSON", help="or a golden dataset as the gatekeeper's API shows it")
    parser.add_argument("--named", action="store_true", help="the policy names it; else it is for a version without")
    given = parser.parse_args(argv)
    configure_logging("try", "ERROR")  # standard output is for progress and verdict
    try:
        with tempfile.TemporaryDirectory(prefix="gauntlet-try-") as folder:
            judge = Judge(Settings(), Path(folder))
            try:
                golden = None
                if given.golden is not None:
                    golden = Rows(
                        judge.taken(given.golden.absolute()), GoldenSource(given.golden.name, json.loads(given.names))
                    )
                elif given.stored is not None:
                    golden = _stored(json.loads(given.stored), is_named=given.named)
                event = ModelRegistered(model_name=given.name, model_version=given.version)
                found = judge.judge(event, load_policy(given.policy), golden, _say)
            finally:
                judge.close()
    except (Permanent, Transient, ValidationError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _print({"verdict": as_candidate(given.name, given.version, found)})
    return 0


def _stored(view: Mapping[str, Any], *, is_named: bool) -> Rows:
    names = {role: view[role] for role in ("label", "entity", "event_time") if view.get(role)}
    dataset = Dataset(uri=view["uri"], digest=view["digest"], rows=view["rows"])
    return Rows(dataset, GoldenSource(f"golden dataset {view['number']}", names), only_without_own=not is_named)


def as_candidate(name: str, version: int, found: DryRun) -> dict[str, Any]:
    """The verdict in the form in which the gatekeeper's API shows a candidate, with what is missing."""
    return {
        "model_name": name,
        "model_version": version,
        "state": found.outcome.value.lower(),
        "reason": found.reason,
        "champion_version": found.champion_version,
        "evidence": {
            "policy": found.policy.model_dump(mode="json"),
            "measured": {"problem_because": found.problem_because},
        },
        "verdicts": [verdict.model_dump(mode="json") for verdict in found.verdicts],
        "missing": [{"what": each.what, "supply": each.supply} for each in found.missing],
        "seconds": found.seconds,
    }


def _say(progress: float, message: str) -> None:
    _print({"progress": progress, "message": message})


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
