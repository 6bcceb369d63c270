"""The story on subscribers of a video service: the steps that apply to two snapshots of the same people."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from contracts import Cause, DriftDetected, DriftKind, Envelope, GateFailed, ModelRegistered
from gauntlet.demo import checks
from gauntlet.demo.drifting import DriftWatch
from gauntlet.demo.play import Play
from gauntlet.demo.story import Skipped, Step
from gauntlet.errors import CliError

EXAMPLE, MODEL = "churn", "churn"
DATA_VARIABLE = "CHURN_DATA_DIR"
GENERATE = ("--months", "2", "--users", "7000", "--seed", "7", "--drift", "sudden")
MOST_WINDOWS = 2


class ChurnStory:
    """`windows` are the available snapshots; the first is trained on, the last one's subscribers are sent."""

    def __init__(self, play: Play, windows: Sequence[str]) -> None:
        self._play = play
        self._windows = windows
        self._drift: Envelope[DriftDetected] | None = None
        self._broken: Callable[[], int] | None = None
        self._refusal: str | None = None
        self._v1 = self._v2 = 0

    def steps(self) -> Sequence[Step]:
        first, last = self._windows[0], self._windows[-1]
        return (
            Step(f"v1 is trained on {first}", self.train_first),
            Step("v1 is gated: a cold start, judged on subscribers held out", self.gate_first),
            Step("staging answers with v1", self.stage_first),
            Step("v1 is promoted, production answers with it", self.promote_first),
            Step(f"{last}'s subscribers are sent, and what they did follows: does anything drift?", self.drift),
            Step(f"v2 is trained on {last}", self.train_second),
            Step("v2 is gated against v1 on the same subscribers", self.gate_second),
            Step("v2 is promoted and answers, under traffic", self.swap_second),
            Step("a broken model is refused", self.refuse_broken),
            Step("a person rolls back: v1 answers within a second", self.roll_back),
            Step("and forward again", self.forward),
            Step("nobody noticed: every request of the story", self._play.totals),
        )

    def train_first(self) -> str:
        event = self._play.await_registered(self._play.request_training(self._windows[0], "the story begins"))
        self._v1 = event.model_version
        return checks.trained(event, self._windows[0], None)

    def gate_first(self) -> str:
        return checks.passed(self._play.await_verdict(self._v1), champion=None)

    def stage_first(self) -> str:
        return self._play.await_answer("staging", self._v1)

    def promote_first(self) -> str:
        _, seen = self._play.await_promoted(self._v1, Cause.GATE)
        return f"{seen}; {self._play.await_answer('serving', self._v1)}"

    def drift(self) -> str:
        """Watch for drift; no drift is a valid outcome, too: it depends on the data."""
        self._play.truth.start()
        self._play.traffic.start()
        watch = DriftWatch(self._play, self._v1)
        self._drift = watch.await_drift(MOST_WINDOWS)
        if self._drift is None:
            judged = "; ".join(
                f"{one['data']['reason']}; {one['performance']['reason'] or 'labels are not mature'}"
                for one in watch.judged()
            )
            raise Skipped(f"no drift was seen in {MOST_WINDOWS} windows, so none is told. {judged}")
        kinds = (DriftKind.DATA, DriftKind.PERFORMANCE)
        return checks.drifted(self._drift.data, version=self._v1, kinds=kinds)

    def train_second(self) -> str:
        event = self._second()
        self._v2 = event.model_version
        self._broken = self._play.register_faulty("broken")
        why = "the drift asked for it" if self._drift else "a person asked for it"
        return f"{checks.trained(event, self._windows[-1], None)}; {why}"

    def gate_second(self) -> str:
        """Await the verdict; without drift a newer version need not be better, and the gate may rightly keep v1."""
        verdict = self._play.await_verdict(self._v2)
        if self._drift is None and isinstance(verdict, GateFailed):
            self._refusal = verdict.reason
            return f"v1 stays: {verdict.reason}"
        return checks.passed(verdict, champion=self._v1)

    def swap_second(self) -> str:
        self._require_second()
        promotion, seen = self._play.await_promoted(self._v2, Cause.GATE)
        return f"{self._play.await_swap(promotion, old=self._v1)}; {seen}"

    def refuse_broken(self) -> str:
        assert self._broken is not None
        version = self._broken()
        self._play.announce(version, "somebody was sure of it")
        return checks.refused_as_broken(self._play.await_verdict(version))

    def roll_back(self) -> str:
        self._require_second()
        asked = self._play.decide("rollback", {"to": self._v1, "reason": "the demo's reader wants v1 back"})
        return self._play.await_decision(asked, self._v1, Cause.ROLLBACK, old=self._v2)

    def forward(self) -> str:
        self._require_second()
        asked = self._play.decide("promote", {"model_version": self._v2, "reason": "and forward again"})
        return self._play.await_decision(asked, self._v2, Cause.APPROVAL, old=self._v1)

    def _require_second(self) -> None:
        if self._refusal is not None:
            raise Skipped("v2 did not pass its gates, so v1 is the only champion there was")

    def _second(self) -> ModelRegistered:
        if self._drift is not None:
            return self._play.await_registered(self._drift)
        return self._play.await_registered(self._play.request_training(self._windows[-1], "a newer snapshot is there"))


def snapshots(folder: Path) -> list[str]:
    """Return the snapshots in a folder, oldest first. Raises CliError when there are none."""
    if not folder.is_dir():
        raise CliError(f"{folder} is not a folder", "Name a folder that holds month_000, month_001, … with --data.")
    found = sorted(path.name for path in folder.glob("month_[0-9][0-9][0-9]") if path.is_dir())
    if not found:
        raise CliError(
            f"{folder} holds no snapshot month_000, month_001, …",
            "examples/churn.md describes the schema; without --data the demo makes snapshots itself.",
        )
    return found


def generate(folder: Path) -> Path:
    """Generate two snapshots of the same schema, with a sudden drift between them."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.churn_data", str(folder), *GENERATE], capture_output=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise CliError(f"snapshots could not be generated: {said[-1] if said else 'no reason given'}")
    return folder
