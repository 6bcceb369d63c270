"""The story on real flights, step by step."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from contracts import Cause, DriftDetected, DriftKind, Envelope, GatePassed, ModelRegistered, Promoted
from gauntlet.demo import checks
from gauntlet.demo.checks import Process, StepFailed
from gauntlet.demo.drifting import DriftWatch
from gauntlet.demo.journal import version_is
from gauntlet.demo.play import SWAP_SECONDS, Play
from gauntlet.demo.rollouts import Rollouts
from gauntlet.demo.story import Skipped, Step
from gauntlet.demo.traffic import until

EXAMPLE, MODEL, WINDOW = "flights", "flights-delay", "2013-06"
FIRST, FIRST_GOLDEN = "2013-01..2013-02", "2013-03"
AGAIN, AGAIN_GOLDEN = "2013-04..2013-05", "2013-06"
# On 1 November the newest month with labels is October. examples/flights.md has the figures of every month.
WORSE, WORSE_GOLDEN = "2013-08..2013-09", "2013-10"
INTERRUPTED, INTERRUPTED_GOLDEN = "2013-05..2013-06", "2013-07"
MOST_WINDOWS = 3
CANARY_AT_ONCE = "{canary: {steps: [10%, 50%], bake: 5s, on: [metric, errors]}}"
NOT_WORSE = "{performance: {rule: non_inferior}, latency: {p95_ms: 250, batch_p95_ms: 500}}"
NEW_DESTINATION, EVERY = "LHR", 10


class FlightsStory:
    """The steps, with the state that later ones need of earlier ones."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._processes: dict[str, Process] | None = None
        self._drift: Envelope[DriftDetected] | None = None
        self._requests: dict[str, Envelope[Any]] = {}
        self._broken: Callable[[], int] | None = None
        self._v1 = self._v2 = self._forward_to = 0
        self._rollouts = Rollouts(play)

    def steps(self) -> Sequence[Step]:
        return (
            Step("v1 is trained on January and February", self.train_first),
            Step("v1 is gated: a cold start, judged on March", self.gate_first),
            Step("staging answers with v1", self.stage_first),
            Step("v1 is promoted, production answers with it", self.promote_first),
            Step("June's flights are sent without a pause; drift is detected from them", self.drift),
            Step("v2 is retrained on April and May", self.retrain),
            Step("v2 is gated against v1 on the same flights", self.gate_second),
            Step("v2 in shadow: it predicts what v1 answers, until the labels decide", self.shadow_second),
            Step("v2 answers a tenth of the aircraft, then half of them", self.canary_second),
            Step("v2 is promoted and answers, under traffic", self.swap_second),
            Step("no process was restarted", self.same_processes),
            Step("a worse challenger, trained as of November, is refused", self.refuse_worse),
            Step("a broken model is refused, the gatekeeper unharmed", self.refuse_broken),
            Step("the gatekeeper is killed (-9) in the middle of a candidate", self.kill_gatekeeper),
            Step("a challenger of other units passes its gates, and is aborted in its canary", self.abort_in_canary),
            Step(
                "a fragile version is promoted; when it begins to fail it is rolled back by itself",
                self.roll_back_alone,
            ),
            Step("a person rolls back: v1 answers within a second", self.roll_back),
            Step("and forward again", self.forward),
            Step("every request of the story is counted", self._play.totals),
        )

    def train_first(self) -> str:
        event = self._train(FIRST, "the story begins")
        self._v1 = event.model_version
        return checks.trained(event, FIRST, FIRST_GOLDEN)

    def gate_first(self) -> str:
        return checks.passed(self._play.await_verdict(self._v1), champion=None)

    def stage_first(self) -> str:
        return self._play.await_answer("staging", self._v1)

    def promote_first(self) -> str:
        _, seen = self._play.await_promoted(self._v1, Cause.GATE)
        answer = self._play.await_answer("serving", self._v1)
        try:
            self._processes = self._play.site.processes()
        except Skipped:
            pass  # printed by the step that shows them
        return f"{seen}; {answer}"

    def drift(self) -> str:
        self._play.truth.start()
        self._play.traffic.start()
        watch = DriftWatch(self._play, self._v1)
        self._drift = watch.await_drift(MOST_WINDOWS)
        if self._drift is None:
            judged = "; ".join(one["data"]["reason"] for one in watch.judged())
            raise StepFailed(f"no drift in {MOST_WINDOWS} windows of June's flights: {judged}")
        seen = checks.drifted(self._drift.data, version=self._v1, kinds=(DriftKind.DATA, DriftKind.PERFORMANCE))
        return f"{seen}; report: {self._drift.data.report_uri or 'none'}"

    def retrain(self) -> str:
        assert self._drift is not None
        event = self._play.await_registered(self._drift)
        self._v2 = event.model_version
        return checks.trained(event, AGAIN, AGAIN_GOLDEN)

    def gate_second(self) -> str:
        return checks.passed(self._play.await_verdict(self._v2), champion=self._v1)

    def shadow_second(self) -> str:
        return self._rollouts.in_shadow(self._v2)

    def canary_second(self) -> str:
        return self._rollouts.in_canary(self._v2)

    def swap_second(self) -> str:
        promotion, seen = self._rollouts.promoted(self._v2, old=self._v1)
        # Only now: a training during a swap would distort its measurement.
        self._requests[WORSE] = self._play.request_training(WORSE, "as of November")
        self._broken = self._play.register_faulty("broken")
        assert self._drift is not None
        since = (promotion.time - self._drift.time).total_seconds()
        return f"{seen}; {since:.1f} s after the drift"

    def same_processes(self) -> str:
        found = self._play.site.processes()
        assert self._processes is not None
        return checks.same_processes(self._processes, found)

    def refuse_worse(self) -> str:
        event = self._train(WORSE, "as of November")
        checks.trained(event, WORSE, WORSE_GOLDEN)
        verdict = self._play.await_verdict(event.model_version)
        seen = checks.refused_for_performance(verdict, champion=self._v2)
        self._still(self._v2)
        return seen

    def refuse_broken(self) -> str:
        assert self._broken is not None
        processes = self._gatekeeper()
        version = self._broken()
        self._play.announce(version, "somebody was sure of it")
        # Trains while the broken one is judged: they do not interfere.
        self._requests[INTERRUPTED] = self._play.request_training(INTERRUPTED, "to be interrupted")
        seen = checks.refused_as_broken(self._play.await_verdict(version))
        if self._gatekeeper() != processes:
            raise StepFailed(f"the gatekeeper was restarted: {processes} before, {self._gatekeeper()} now")
        self._still(self._v2)
        return seen

    def kill_gatekeeper(self) -> str:
        site, play = self._play.site, self._play
        event = self._train(INTERRUPTED, "to be interrupted")
        version = event.model_version
        checks.trained(event, INTERRUPTED, INTERRUPTED_GOLDEN)
        if site.stack is None:
            play.await_verdict(version)
            self._follow_rollout(version)
            site.require_control("killing the gatekeeper (its candidate was judged undisturbed)")
        before = site.processes()
        play.say(f"waiting until v{version} is being gated")
        until(lambda: play.candidate_state(version) == "gating", 120, f"the gating of v{version}")
        killed = datetime.now(UTC)
        seconds = site.kill_and_await("gatekeeper", play.say)
        restarted = checks.same_processes(before, site.processes(), but=("gatekeeper",))
        play.await_verdict(version)
        checks.judged_after(killed, play.verdict_time(version), version)
        swap = self._follow_rollout(version)
        once = play.counted_once(version)
        return f"ready again after {seconds:.1f} s; {once}; {swap or 'v2 stays'}; not restarted: {restarted}"

    def abort_in_canary(self) -> str:
        self._rollouts.require_policy({"strategy": CANARY_AT_ONCE}, "canary")
        version = self._play.register_faulty("other-units")()
        self._play.announce(version, "its weather is in degrees Celsius, metres and pascals")
        checks.passed(self._play.await_verdict(version), champion=self._champion())
        return self._rollouts.aborted(version)

    def roll_back_alone(self) -> str:
        """A new destination opens: the version that was promoted raises on it, and the watch sees that."""
        play, old = self._play, self._champion()
        self._rollouts.require_policy({"gates": NOT_WORSE, "strategy": "direct"}, "direct")
        version = play.register_faulty("known-categories")()
        play.announce(version, "it knows every destination there is")
        checks.passed(play.await_verdict(version), champion=old)
        promotion, _ = play.await_promoted(version, Cause.GATE)
        play.traffic.await_only(version, 1, SWAP_SECONDS)
        play.traffic.failures_expected, play.traffic.change = True, new_destination
        try:
            return self._rollouts.rolled_back(version, to=old, since=promotion.time)
        finally:
            play.traffic.change = None
            play.traffic.failures_expected = False

    def roll_back(self) -> str:
        old = self._champion()
        asked = self._play.decide("rollback", {"to": self._v1, "reason": "the demo's reader wants v1 back"})
        self._forward_to = old
        return self._play.await_decision(asked, self._v1, Cause.ROLLBACK, old=old)

    def forward(self) -> str:
        asked = self._play.decide("promote", {"model_version": self._forward_to, "reason": "and forward again"})
        # It passed its gates before: a person's promotion is then an approval, not an override.
        return self._play.await_decision(asked, self._forward_to, Cause.APPROVAL, old=self._v1)

    def _train(self, window: str, reason: str) -> ModelRegistered:
        """Return the version of a window; requested earlier, or now."""
        request = self._requests.get(window) or self._play.request_training(window, reason)
        return self._play.await_registered(request)

    def _follow_rollout(self, version: int) -> str | None:
        """If the gates passed it, await the end of its rollout; None if they did not."""
        if not self._play.journal.every(GatePassed, where=version_is(version)):
            return None
        return self._rollouts.follow(version)

    def _still(self, version: int) -> None:
        newest = self._play.journal.every(Promoted)[-1].data
        if newest.model_version != version:
            raise StepFailed(f"v{newest.model_version} is champion, v{version} was to stay")
        answer = self._play.ask("serving")
        found = answer["model_version"] if answer else None
        if found != version:
            raise StepFailed(f"production answers with v{found}, v{version} was to stay")

    def _champion(self) -> int:
        assert self._play.champion is not None
        return self._play.champion

    def _gatekeeper(self) -> Process | None:
        try:
            return self._play.site.processes()["gatekeeper"]
        except Skipped:
            return None


def new_destination(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send every tenth aircraft to an airport that none has flown to before."""
    is_sent = zlib.crc32(str(row["tailnum"]).encode()) % EVERY == 0
    return {**row, "dest": NEW_DESTINATION} if is_sent else row
