"""Building blocks of both stories: a version trained, judged, promoted, serving; decisions of people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from contracts import (
    Cause,
    Envelope,
    GateFailed,
    GatePassed,
    ModelRegistered,
    Promoted,
    Result,
    RolloutChanged,
    TrainingRequested,
    Trigger,
    new_envelope,
)
from gauntlet.demo import checks
from gauntlet.demo.checks import StepFailed
from gauntlet.demo.feed import Feed
from gauntlet.demo.journal import Journal, version_is
from gauntlet.demo.site import Site
from gauntlet.demo.story import Say
from gauntlet.demo.traffic import Traffic, read_answer, until
from gauntlet.demo.truth import Truth
from gauntlet.service_client import ServiceError

TRAINING_SECONDS = 180.0
GATING_SECONDS = 180.0
SWAP_SECONDS = 60.0
FAULTY_SECONDS = 120.0
ACTOR = "demo"
DECIDED_ALONE = (Cause.GATE, Cause.TRIAL)
STOPPED = (Result.ABORTED, Result.KEPT)
SAMPLE_ROWS = 3

Verdict = Envelope[GatePassed | GateFailed]


@dataclass
class Play:
    """One model's story at a site; tracks which version is champion, and since which epoch."""

    site: Site
    journal: Journal
    feed: Feed
    truth: Truth
    traffic: Traffic
    model_name: str
    example: str
    environment: Mapping[str, str]
    say: Say
    champion: int | None = None
    epoch: int = 0
    judged: list[int] = field(default_factory=list)

    # A version

    def request_training(self, window: str | None, reason: str) -> Envelope[TrainingRequested]:
        """Request a version; the trainer starts at once."""
        event = TrainingRequested(model_name=self.model_name, window=window, reason=reason, requested_by=ACTOR)
        request = new_envelope(event, source=ACTOR)
        self.site.broker.publish(request)
        return request

    def await_registered(self, cause: Envelope[Any]) -> ModelRegistered:
        """Await the version that a request or a drift caused."""
        self.say("waiting for the trainer")
        found = self.journal.wait(
            ModelRegistered,
            seconds=TRAINING_SECONDS,
            what="ModelRegistered",
            where=lambda envelope: envelope.correlation_id == cause.correlation_id,
            unless=lambda: self.journal.training_failure(cause),
        )
        return found.data

    def await_verdict(self, version: int) -> GatePassed | GateFailed:
        self.say(f"waiting for the verdict on v{version}")
        found: Verdict = self.journal.wait(
            GatePassed,
            GateFailed,
            seconds=GATING_SECONDS,
            what=f"a verdict on v{version}",
            where=version_is(version),
        )
        self.judged.append(version)
        return found.data

    def verdict_time(self, version: int) -> datetime:
        """Return when the (first) verdict on a version was recorded."""
        return self.journal.every(GatePassed, GateFailed, where=version_is(version))[0].time

    def await_promoted(self, version: int, cause: Cause) -> tuple[Envelope[Promoted], str]:
        """Await the version's promotion after the last known one, checked."""
        after = self.epoch
        found = self.journal.wait(
            Promoted,
            seconds=GATING_SECONDS,
            what=f"the promotion of v{version}",
            where=lambda envelope: envelope.data.epoch > after,
        )
        seen = checks.promoted(found.data, version=version, previous=self.champion, cause=cause, above_epoch=after)
        self.champion, self.epoch = version, found.data.epoch
        return found, seen

    def await_swap(self, promotion: Envelope[Promoted], old: int) -> str:
        """Await production's switch from the old version to the promoted one, once, without failed requests."""
        version = promotion.data.model_version
        self.say(f"waiting for v{version} to answer")
        first = self.traffic.first_answer(version, promotion.time, SWAP_SECONDS)
        return checks.swapped(
            self.traffic.switches(promotion.time),
            old=old,
            new=version,
            seconds=(first - promotion.time).total_seconds(),
            requests=self.traffic.requests,
            failures=self.traffic.failures,
        )

    # Responses

    def await_answer(self, role: str, version: int) -> str:
        """Await a replica (serving or staging) that predicts with this version."""
        self.say(f"waiting for {role} to answer with v{version}")
        answered: dict[str, Any] = {}

        def answers() -> bool:
            answered.clear()
            answered.update(self.ask(role) or {})
            return answered.get("model_version") == version

        until(answers, SWAP_SECONDS, f"an answer of v{version} from {role}")
        scores = ", ".join(f"{prediction['score']:.3f}" for prediction in answered["predictions"])
        return f"v{version} answers {len(answered['predictions'])} rows at {self.site.urls[role]}: {scores}"

    def ask(self, role: str) -> dict[str, Any] | None:
        """Predict a few rows; None while the replica has no version yet."""
        rows = [row.sent for row in self.feed.peek(SAMPLE_ROWS)]
        url = f"{self.site.urls[role]}/models/{self.model_name}/predict"
        try:
            headers = self.site.headers(role)
            answer = httpx.post(url, json={"rows": rows}, headers=headers, timeout=10.0, trust_env=False)
        except httpx.HTTPError as error:
            raise StepFailed(f"{role} at {url} does not answer: {error or type(error).__name__}") from error
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE):
            return None
        return read_answer(answer)

    # People

    def decide(self, action: str, body: Mapping[str, Any]) -> datetime:
        """Post a person's decision to the gatekeeper; return when it was sent."""
        gatekeeper = self.site.service("gatekeeper")
        asked = datetime.now(UTC)
        actor = {"actor": ACTOR} if gatekeeper.caller()["method"] == "off" else {}
        gatekeeper.post(f"/models/{self.model_name}/{action}", {**body, **actor})
        return asked

    def await_decision(self, asked: datetime, version: int, cause: Cause, old: int) -> str:
        """Await responses of the version that a person chose; the limit counts from when it was requested."""
        promotion, seen = self.await_promoted(version, cause)
        swap = self.await_swap(promotion, old)
        took = (self.traffic.first_answer(version, promotion.time, SWAP_SECONDS) - asked).total_seconds()
        return f"{checks.answered_within(took, version)}; {swap}; {seen}"

    # Candidates of the demo's own

    def register_faulty(self, kind: str) -> Callable[[], int]:
        """Begin to register a version of examples.faulty; call the returned function for its number."""
        command = [sys.executable, "-m", "examples.faulty", self.example, kind, "--tracking-uri", self.site.mlflow_uri]
        process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

        def version() -> int:
            try:
                out, err = process.communicate(timeout=FAULTY_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise StepFailed(f"the model {kind} was not in MLflow within {FAULTY_SECONDS:g} s") from None
            if process.returncode != 0:
                said = err.decode(errors="replace").strip().splitlines()
                raise StepFailed(f"{' '.join(command[1:])} failed: {said[-1] if said else 'no reason'}")
            return int(json.loads(out.decode().strip().splitlines()[-1])["model_version"])

        return version

    def announce(self, version: int, reason: str) -> None:
        """Publish ModelRegistered with only the version, as outsiders may: the gatekeeper reads the rest in MLflow."""
        event = ModelRegistered(
            model_name=self.model_name, model_version=version, trigger=Trigger(kind="manual", reason=reason)
        )
        self.site.broker.publish(new_envelope(event, source=ACTOR))

    def candidate_state(self, version: int) -> str | None:
        """Return the gatekeeper's current state of the candidate; None before there is one."""
        try:
            found = self.site.service("gatekeeper").get(f"/models/{self.model_name}/candidates/{version}")
        except ServiceError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return str(found["state"])

    # Counting

    def counted_once(self, version: int) -> str:
        verdicts = self.journal.every(GatePassed, GateFailed, where=version_is(version))
        promotions = self.journal.every(
            Promoted,
            where=lambda found: found.data.model_version == version and found.data.cause in DECIDED_ALONE,
        )
        stopped = self.journal.every(
            RolloutChanged,
            where=lambda found: found.data.tried.model_version == version and found.data.result in STOPPED,
        )
        return checks.exactly_once(
            version, [one.data for one in verdicts], [one.data for one in promotions], proved=not stopped
        )

    def totals(self) -> str:
        """Return the story's requests and events. Raises StepFailed for a failed request or a repeated verdict."""
        for version in self.judged:
            self.counted_once(version)
        failures = [*self.traffic.failures, *self.truth.failures]
        if failures:
            raise StepFailed(f"{len(failures)} of {self.traffic.requests:,} requests failed; the first: {failures[0]}")
        by_version = ", ".join(f"v{version} {rows:,}" for version, rows in sorted(self.traffic.rows_by_version.items()))
        expected = len(self.traffic.expected_failures)
        met = f" but for {expected} that a failing version met before it was rolled back" if expected else ""
        again = f"; {self.feed.window} began again {self.feed.rounds} times" if self.feed.rounds else ""
        return (
            f"{self.traffic.requests:,} requests with {self.traffic.rows:,} rows of {self.feed.window}, 0 failed{met} "
            f"(rows: {by_version}); {self.truth.sent:,} labels followed{again}; one verdict for each of "
            f"{len(self.judged)} candidates"
        )
