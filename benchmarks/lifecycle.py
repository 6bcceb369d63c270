"""Latencies of the loop on its own stack: registered → Promoted, Promoted → first new response, drift → new champion.

`python -m benchmarks.lifecycle [ROUNDS]` (20 by default) prints Markdown tables, the memory of each process too.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psutil
import yaml

from chassis.policies import load_policy
from contracts import Cause, DriftDetected, DriftKind, DriftWindow, ModelRegistered, TrainingRequested, new_envelope
from gauntlet.demo.feed import Feed
from gauntlet.demo.flights import EXAMPLE, FIRST, MODEL, WINDOW
from gauntlet.demo.journal import Journal, version_is
from gauntlet.demo.play import Play
from gauntlet.demo.site import Site, own_config, own_site
from gauntlet.demo.traffic import STEADY, Traffic
from gauntlet.demo.truth import Truth
from gauntlet.stack import Stack

ROUNDS = 20
POLICIES = Path(__file__).parents[1] / "policies"
JUNE = datetime(2013, 6, 15, tzinfo=UTC)


def _policies(folder: Path) -> Path:
    """Write the shipped policy, changed to pass an equal model: each round promotes the champion's own run again."""
    policy = load_policy(POLICIES / f"{MODEL}.yaml").model_dump(mode="json", exclude_unset=True)
    policy["gates"]["performance"]["rule"] = "non_inferior"
    policy["candidates"] = "newest"
    found = folder.parent / "policies"
    found.mkdir(parents=True)
    (found / f"{MODEL}.yaml").write_text(yaml.safe_dump(policy))
    return found


def drift(version: int) -> DriftDetected:
    """Build DriftDetected as the drift service emits it; published here, so that only its consequences are measured."""
    window = DriftWindow(id=f"benchmark-{version}", rows=4000, start=JUNE, end=JUNE)
    return DriftDetected(
        model_name=MODEL, model_version=version, kind=DriftKind.DATA, window=window, drift_share=0.8, reason="benchmark"
    )


class Measured:
    """Milliseconds, or seconds, of each round."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.gating: list[float] = []
        self.swaps: list[float] = []
        self.loops: list[float] = []

    def again(self, run_id: str) -> None:
        """Register the champion's own run again: an equal model passes, and is promoted."""
        request = new_envelope(TrainingRequested(model_name=MODEL, from_run=run_id), source="benchmark")
        self._play.site.broker.publish(request)
        self._follow(self._play.await_registered(request).model_version)

    def after_drift(self, version: int) -> None:
        signal = new_envelope(drift(version), source="benchmark")
        self._play.site.broker.publish(signal)
        successor = self._play.await_registered(signal).model_version
        answered = self._follow(successor)
        self.loops.append((answered - signal.time).total_seconds())

    def _follow(self, version: int) -> datetime:
        registered = self._play.journal.every(ModelRegistered, where=version_is(version))[0]
        promotion, _ = self._play.await_promoted(version, Cause.GATE)
        answered = self._play.traffic.first_answer(version, promotion.time, 60)
        self.gating.append((promotion.time - registered.time).total_seconds())
        self.swaps.append((answered - promotion.time).total_seconds() * 1000)
        return answered


def play_on(site: Site, stack: ExitStack) -> Play:
    journal = stack.enter_context(Journal(site.broker, MODEL))
    feed = Feed(EXAMPLE, WINDOW, {})
    feed.start()
    stack.callback(feed.stop)
    truth = Truth(site.broker, MODEL)
    traffic = Traffic(feed, site.urls["serving"], MODEL, truth)
    return Play(site, journal, feed, truth, traffic, MODEL, EXAMPLE, {}, lambda _what: None)


def main(rounds: int = ROUNDS) -> None:
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory())) / "stack"
        stack = cleanup.enter_context(Stack(own_config(folder, _policies(folder), {})))
        play = play_on(own_site(stack), cleanup)
        first = play.await_registered(play.request_training(FIRST, "benchmark"))
        play.await_promoted(first.model_version, Cause.GATE)
        play.await_answer("serving", first.model_version)
        play.truth.start()
        play.traffic.pace = STEADY
        play.traffic.start()
        cleanup.callback(play.truth.stop)
        cleanup.callback(play.traffic.stop)
        measured = Measured(play)
        assert first.run_id is not None
        for _ in range(rounds):
            measured.again(first.run_id)
        for _ in range(rounds):
            measured.after_drift(play.champion or 1)
        report(measured, play, stack, rounds)


def report(measured: Measured, play: Play, stack: Stack, rounds: int) -> None:
    print(f"| {rounds} rounds, under traffic | p50 | worst |\n|---|--:|--:|")
    print(f"| registered → Promoted, s | {_row(measured.gating)} |")
    print(f"| Promoted → first new answer, ms | {_row(measured.swaps)} |")
    print(f"| DriftDetected → new champion answering, s | {_row(measured.loops)} |")
    print(f"\n{play.traffic.requests:,} requests meanwhile, {len(play.traffic.failures)} failed\n")
    print("| process | resident MB | with its children |\n|---|--:|--:|")
    for name, pid in stack.pids.items():
        process = psutil.Process(pid)
        own = process.memory_info().rss / 1e6
        family = own + sum(child.memory_info().rss / 1e6 for child in process.children(recursive=True))
        print(f"| {name} | {own:.0f} | {family:.0f} |")


def _row(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} | {max(values):.2f}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
