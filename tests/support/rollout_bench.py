"""The gatekeeper's decisions on rollouts on a real database, without Kafka and without models: verdicts are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from chassis.database import Database
from chassis.jobs import JobRow, Jobs
from chassis.outbox import Outbox, OutboxRow
from contracts import GateVerdict, ModelRegistered, Outcome, OutputFormat, Trigger, new_envelope
from contracts.cloudevents import Record, decode
from contracts.policy import ModelPolicy
from gatekeeper.database import queries, registrations, rollouts
from gatekeeper.database.candidate_verdict import CandidateVerdict, TournamentWinner, candidate_result_of
from gatekeeper.database.recorder import Recorder
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.database.tables import GATING, CandidateRow
from gatekeeper.handlers import Handlers
from gatekeeper.rollout.approvals import Approvals
from gatekeeper.rollout.clock import RolloutClock
from gatekeeper.rollout.decisions import RolloutDecisions
from gatekeeper.rollout.views import rollout_view
from gatekeeper.rollout.waiting import WaitingChallengers
from support.rollouts import sums_of

BINARY = OutputFormat(problem="binary", classes=(0, 1), label="late")
LIMIT = 8 * 1024 * 1024

SHADOW = {"shadow": {"rows": "100..5000", "on": ["metric", "errors"]}}
CANARY = {"canary": {"steps": ["10%", "50%"], "bake": "10m", "minimum": 100}}
BETTER = {"n": 1000, "wins": 200, "losses": 50}


class RolloutBench:
    def __init__(self, url: str) -> None:
        self.name = f"m-{uuid4().hex[:8]}"
        self.database = Database(url)
        self.database.migrate("gatekeeper")
        jobs = Jobs(self.database, owner="bench")
        self.recorder = Recorder(Outbox("gatekeeper"), jobs)
        self.policies: dict[str, ModelPolicy] = {}
        self.decisions = RolloutDecisions(self.recorder, self.policies)
        self.handlers = Handlers(jobs, self.recorder, self.policies, self.decisions)  # type: ignore[arg-type]
        self.waiting = WaitingChallengers(self.database, self.recorder, self.policies)
        self.clock = RolloutClock(self.database, self.decisions, self.waiting)
        self.approvals = Approvals(self.database, self.recorder, self.decisions)

    def policy(self, **keys: Any) -> ModelPolicy:
        self.policies[self.name] = ModelPolicy.model_validate({"model": self.name, "problem": "binary", **keys})
        return self.policies[self.name]

    def begun(self, **policy: Any) -> None:
        """v1 is champion, without staging and approval; v2 has passed."""
        self.policy(**{key: value for key, value in policy.items() if key not in ("staging", "approval")})
        self.verdict(1)
        assert self.champion() == 1
        self.policy(**policy)
        self.verdict(2)

    def report(self, version: int, **more: Any) -> dict[str, Any]:
        """The fields of a replica's load report."""
        given = {"model_name": self.name, "model_version": version, "replica": "r1", "role": "production", "seconds": 1}
        return {**given, **more}

    def verdict(self, version: int, outcome: Outcome = Outcome.PASSED, **more: Any) -> None:
        """The version is registered, unless it is known, and judged against the champion of now."""
        event = ModelRegistered(model_name=self.name, model_version=version, artifact_uri=f"models:/{version}")
        with self.database.transaction() as session:
            envelope = new_envelope(event, source="bench")
            row = queries.add_candidate(session, envelope) or queries.candidate(session, self.name, version)
            assert row is not None
            row.state = GATING
            champion = queries.champion(session, self.name)
            found = CandidateVerdict(
                event=event,
                verdicts=(GateVerdict(gate="performance", outcome=outcome, reason="-"),),
                reason="7 of 7 gates",
                registered_at=datetime.now(UTC),
                compared_with=champion.model_version if champion else None,
                artifact_digest=f"sha256:{version:064}",
                metrics={"roc_auc": 0.7},
                output=BINARY,
                **more,
            )
            self.recorder.judged(session, found, self.policies[self.name])

    def judge_again(self, version: int, trigger: Trigger) -> None:
        """Begin another judgement, as the gate job does; `verdict` ends it."""
        event = ModelRegistered(
            model_name=self.name, model_version=version, artifact_uri=f"models:/{version}", trigger=trigger
        )
        with self.database.transaction() as session:
            row = queries.candidate(session, self.name, version)
            assert row is not None
            registrations.judge_again(session, row, new_envelope(event, source="bench"), "another policy")

    def tournament(self, winner: int) -> bool:
        policy = self.policies[self.name]
        with self.database.transaction() as session:
            queries.lock(session, self.name)
            row = queries.candidate(session, self.name, winner)
            champion = queries.champion(session, self.name)
            assert row is not None and champion is not None
            result = candidate_result_of(row, Outcome.PASSED, champion.model_version, policy)
            won = TournamentWinner(winner, "better", {"roc_auc": 0.8}, BINARY)
            return self.recorder.promote_winner(session, won, result, policy, None, evidence_id="golden-1")

    def rollout(self) -> Any:
        """The newest rollout, as the API shows it; None without any."""
        with self.database.reading() as session:
            found = rollouts.newest(session, self.name, None, 1)
            return rollout_view(session, found[0]).model_dump(mode="json") if found else None

    def state(self) -> tuple[str, int, str | None]:
        """Stage, challenger and result of the newest rollout."""
        found = self.rollout()
        return found["stage"], found["challenger_version"], found["result"]

    def measured(self, rollout: Any = None, **sums: Any) -> None:
        event = sums_of(rollout or self.rollout(), **sums)
        with self.database.transaction() as session:
            self.handlers.on_rollout_measured(session, new_envelope(event, source="bench"))

    def reported(self, event: Any) -> None:
        """A load report of a replica."""
        handler = self.handlers.on_model_loaded if hasattr(event, "artifact_digest") else None
        with self.database.transaction() as session:
            (handler or self.handlers.on_model_load_failed)(session, new_envelope(event, source="bench"))

    def later(self, **delta: float) -> None:
        """Move the begin of the current step into the past, and let the clock look."""
        with self.database.transaction() as session:
            row = rollouts.running(session, self.name)
            if row is not None:
                row.step_began_at -= timedelta(**delta)
        self.clock.once()

    def freeze(self, frozen: bool = True) -> None:
        with self.database.transaction() as session:
            queries.lock(session, self.name).frozen_at = datetime.now(UTC) if frozen else None

    def champion(self) -> int | None:
        with self.database.reading() as session:
            found = queries.champion(session, self.name)
            return found.model_version if found else None

    def candidate(self, version: int) -> Any:
        with self.database.reading() as session:
            row = queries.candidate(session, self.name, version)
            assert row is not None
            columns = CandidateRow.__table__.columns
            return SimpleNamespace(**{column.key: getattr(row, column.key) for column in columns})

    def row(self) -> RolloutRow:
        with self.database.reading() as session:
            return rollouts.newest(session, self.name, None, 1)[0]

    def events(self) -> list[str]:
        """What was emitted, in order: the type, and what tells events of it apart."""
        with self.database.reading() as session:
            rows = session.scalars(select(OutboxRow).order_by(OutboxRow.id)).all()
        found = []
        for row in rows:
            headers = tuple((name, value.encode()) for name, value in row.headers)
            data = decode(Record(row.topic, row.key, row.value, headers, 0), LIMIT).data
            version, what = getattr(data, "model_version", None), getattr(data, "stage", getattr(data, "cause", None))
            words = (type(data).__name__, f"v{version}" if version else None, what)
            found.append(" ".join(str(word) for word in words if word))
        return found

    def queued(self, kind: str) -> int:
        with self.database.reading() as session:
            return len(session.scalars(select(JobRow).where(JobRow.kind == kind)).all())

    def trail(self) -> list[str]:
        """Actions, oldest first."""
        with self.database.reading() as session:
            return [row.action for row in reversed(queries.audit(session, self.name, 1000))]

    def close(self) -> None:
        self.database.close()
