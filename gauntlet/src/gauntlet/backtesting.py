"""The processes behind `gauntlet backtest`: generate rows, train versions and predict, play the policy."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from chassis.policy_store import PolicyStore
from gauntlet import modules
from gauntlet.errors import CliError
from gauntlet.policy_files import policy_in


@dataclass(frozen=True)
class Cuts:
    """How to cut the rows into windows; all None: by the recipe's own windows."""

    every: str | None = None
    train: str | None = None
    since: str | None = None
    until: str | None = None

    @property
    def arguments(self) -> list[str]:
        named = {"--every": self.every, "--train": self.train, "--from": self.since, "--until": self.until}
        return [part for option, value in named.items() if value is not None for part in (option, value)]


@dataclass(frozen=True)
class Generated:
    """Rows that examples.churn_data generates."""

    drift: str
    seed: int
    months: int
    users: int

    @property
    def arguments(self) -> list[str]:
        named = {"--drift": self.drift, "--seed": self.seed, "--months": self.months, "--users": self.users}
        return [str(part) for pair in named.items() for part in pair]


def policy_file(model_name: str) -> Path:
    """Return this model's policy file in POLICIES_DIR. Raises CliError."""
    folder = Path(os.environ.get("POLICIES_DIR", "policies"))
    known = PolicyStore(folder)
    file = known.file_of(model_name)
    if model_name not in known or file is None:
        raise CliError(
            known.why_missing(model_name),
            f"There are {', '.join(sorted(known)) or 'none'}; name another folder in POLICIES_DIR, or use --policy.",
        )
    return file


def play(policy: Path, cuts: Cuts, generated: Generated | None, metric: str | None, cache: Path) -> dict[str, Any]:
    """Return the report of gatekeeper.backtest. Versions trained for the same inputs before come from `cache`."""
    policy_in(policy)
    asked = (str(policy.absolute()), astuple(cuts), astuple(generated) if generated else None)
    history = cache / f"{policy.stem}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:12]}"
    history.mkdir(parents=True, exist_ok=True)
    with ExitStack() as after:
        environment: dict[str, str] = {}
        if generated is not None:
            folder = after.enter_context(tempfile.TemporaryDirectory(prefix="gauntlet-backtest-"))
            modules.run(["examples.churn_data", folder, *generated.arguments], {})
            environment["CHURN_DATA_DIR"] = folder
        for _ in modules.follow(["trainer.history", str(policy), str(history), *cuts.arguments], environment):
            pass
    chosen = [] if metric is None else ["--metric", metric]
    found: dict[str, Any] = json.loads(
        modules.run(["gatekeeper.backtest", str(history), str(policy), "--json", *chosen], {})
    )
    return found
