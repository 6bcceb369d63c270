"""A gatekeeper's database with a long past, quickly: models, versions, promotions, rollouts, jobs, events, audit rows.

The same numbers give the same rows. What is current (champions, running rollouts, failures of the last week) depends on
the number of models alone, so that databases of one number of models differ in their past only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import insert, update

from chassis.database import Base, Database
from chassis.inbox import InboxRow
from chassis.jobs import DONE, FAILED, JobRow
from chassis.outbox import OutboxRow
from contracts import ModelRegistered, new_envelope
from contracts.policy import ModelPolicy
from gatekeeper.database import rollouts
from gatekeeper.database.dead_letters import DeadLetterRow
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.notification_tables import FAILED as GIVEN_UP
from gatekeeper.database.notification_tables import SENT, NotificationMessageRow
from gatekeeper.database.rollout_tables import GIVEN, ApprovalRow, RolloutRow
from gatekeeper.database.tables import (
    AuditHeadRow,
    AuditRow,
    CandidateRow,
    ModelRow,
    PromotionRow,
    RegistrationRow,
    ReplicaRow,
    VerdictRow,
)
from gatekeeper.policy.hash_chain import GENESIS, Entry, linked
from gatekeeper.policy.promotion import steps_of

AT_A_TIME = 5000
GATES = ("lineage", "integrity", "functional", "leakage", "performance", "latency")
PAST = timedelta(days=700)
RECENT = timedelta(days=2)
"""Before `now`, the champions, and what is current of them."""
DIGEST = "sha256:" + "0" * 64
ROLLING = {
    "problem": "binary",
    "metric": "roc_auc",
    "strategy": [{"shadow": {"rows": "100..5000", "on": ["metric", "errors"]}}],
    "approval": {"people": 2},
}


@dataclass(frozen=True)
class BigDatabase:
    """`versions` and `audits`: of all models together."""

    models: int
    versions: int
    audits: int
    now: datetime = datetime(2026, 12, 1, 12, tzinfo=UTC)

    @property
    def names(self) -> list[str]:
        return [f"model-{number:04}" for number in range(self.models)]

    @property
    def each(self) -> int:
        """Versions of a model: at least 6."""
        return max(6, self.versions // self.models)

    @property
    def champion(self) -> int:
        """Of every model: the newest version of those that were promoted, each third."""
        return (self.each - 4) // 3 * 3 + 1

    def fill(self, database: Database) -> None:
        database.migrate("gatekeeper")
        for table, rows in (
            (ModelRow, self._models()),
            (CandidateRow, self._candidates()),
            (VerdictRow, self._verdicts()),
            (RegistrationRow, self._registrations()),
            (PromotionRow, self._promotions()),
            (RolloutRow, self._rollouts()),
            (ApprovalRow, self._approvals()),
            (ReplicaRow, self._replicas()),
            (JobRow, self._jobs()),
            (EventLogRow, self._events()),
            (InboxRow, self._inbox()),
            (OutboxRow, self._outbox()),
            (DeadLetterRow, self._letters()),
            (NotificationMessageRow, self._messages()),
        ):
            _insert(database, table, rows)
        self._audit(database)
        if not database.is_sqlite:
            with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                connection.exec_driver_sql("ANALYZE")

    def policies(self) -> dict[str, ModelPolicy]:
        return {name: ModelPolicy.model_validate({"model": name, **ROLLING}) for name in self.names}

    def _versions(self) -> Iterator[tuple[int, str, int, datetime]]:
        """Number of the model, its name, version, and when it was registered: the champion RECENT ago."""
        for version in range(1, self.each + 1):
            if version < self.champion:
                at = self.now - RECENT - timedelta(days=14) - PAST * (1 - version / self.each)
            else:
                at = self.now - RECENT + timedelta(hours=version - self.champion)
            for number, name in enumerate(self.names):
                yield number, name, version, at + timedelta(seconds=number)

    def _state(self, number: int, version: int) -> str:
        if version % 3 == 1 and version <= self.champion:
            return "passed"
        if version == self.each:
            return ("passed", "registered", "failed", "waiting")[number % 4]
        return "failed" if version % 3 else "inconclusive"

    def _models(self) -> Iterator[dict[str, Any]]:
        for number, name in enumerate(self.names):
            frozen = number % 25 == 3
            yield {
                "name": name,
                "frozen_by": "ann" if frozen else None,
                "frozen_reason": "the pipeline is being mended" if frozen else None,
                "frozen_at": self.now if frozen else None,
                "mirrored": {"champion": self.champion},
                "rollout_revision": 1,
            }

    def _candidates(self) -> Iterator[dict[str, Any]]:
        for number, name, version, at in self._versions():
            state = self._state(number, version)
            judged = state not in ("registered", "waiting")
            event = ModelRegistered(model_name=name, model_version=version, artifact_uri=f"models:/{name}/{version}")
            envelope = new_envelope(event, source="trainer", event_id=f"registered-{name}-{version}", time=at)
            yield {
                "id": f"{name}-v{version}",
                "model_name": name,
                "model_version": version,
                "state": state,
                "reason": "worse than the champion by 0.034" if judged else None,
                "event": envelope.model_dump(mode="json"),
                "registered_at": at,
                "judgement": 1,
                "artifact_uri": event.artifact_uri,
                "champion_version": max(1, version - 1),
                "golden_digest": f"sha256:{version % 7:064}",
                "metrics": {"roc_auc": 0.7, "log_loss": 0.41, "accuracy": 0.81},
                "evidence": {"n": version, "columns": [f"column-{each}" for each in range(20)]},
                "gating_at": at + timedelta(minutes=1) if judged else None,
                "judged_at": at + timedelta(minutes=5) if judged else None,
                "quarantine": "it was aborted" if version == self.each - 1 and number % 50 == 7 else None,
            }

    def _verdicts(self) -> Iterator[dict[str, Any]]:
        for number, name, version, _ in self._versions():
            passed = self._state(number, version) == "passed"
            for position, gate in enumerate(GATES):
                yield {
                    "candidate_id": f"{name}-v{version}",
                    "gate": gate,
                    "position": position,
                    "outcome": "Passed" if passed or gate != "performance" else "Failed",
                    "reason": "as good as the champion on the same rows",
                    "metric": "roc_auc",
                    "observed": 0.7,
                    "bound": 0.68,
                    "margin": 0.01,
                    "n": 20_000,
                    "details": {"se": 0.002},
                }

    def _registrations(self) -> Iterator[dict[str, Any]]:
        for _, name, version, at in self._versions():
            yield {
                "source": "trainer",
                "event_id": f"registered-{name}-{version}",
                "candidate_id": f"{name}-v{version}",
                "event": {"model_name": name, "model_version": version},
                "at": at,
                "judgement": 1,
            }

    def _promoted(self) -> Iterator[tuple[int, str, int, datetime, int]]:
        for number, name, version, at in self._versions():
            if version % 3 == 1 and version <= self.champion:
                yield number, name, version, at, version // 3 + 1

    def _promotions(self) -> Iterator[dict[str, Any]]:
        for _, name, version, registered, epoch in self._promoted():
            at = registered + timedelta(hours=1) if version < self.champion else registered
            yield {
                "model_name": name,
                "epoch": epoch,
                "model_version": version,
                "cause": "trial",
                "actor": "gatekeeper",
                "promoted_at": at,
                "restored": False,
                "gated_candidate": f"{name}-v{version}",
                "event_id": f"promoted-{name}-{epoch}",
                "event": {
                    "model_name": name,
                    "model_version": version,
                    "epoch": epoch,
                    "artifact_uri": f"models:/{name}/{version}",
                    "artifact_digest": DIGEST,
                    "serving_artifact": None,
                    "previous_version": version - 3 if version > 3 else None,
                    "cause": "trial",
                    "actor": "gatekeeper",
                    "reason": "passed every gate of its policy",
                    "evidence_id": f"{name}-v{version}",
                    "metric": "roc_auc",
                    "baseline": {"roc_auc": 0.7},
                    "reference": None,
                    "output": None,
                    "golden_predictions": None,
                    "importance": {f"column-{each}": 0.01 for each in range(20)},
                },
            }

    def _rollouts(self) -> Iterator[dict[str, Any]]:
        plan = rollouts.plan_to_json(steps_of(ModelPolicy.model_validate({"model": "m", **ROLLING})))
        shadow, approval = 1, 2
        for _, name, version, at, epoch in self._promoted():
            if version < self.champion:
                end = {"ended_at": at + timedelta(hours=1), "result": ("promoted", "aborted")[version % 2]}
                yield self._rollout(name, version, epoch, at, plan, len(plan) - 1) | end
        for number, name in enumerate(self.names):
            at = self.now - timedelta(hours=1)
            if number % 10 == 0:
                yield self._rollout(name, self.each, self.champion, at, plan, approval)
            elif number % 10 == 4:
                yield self._rollout(name, self.each, self.champion, at, plan, shadow)
            elif number % 20 == 5:
                end = {"ended_at": at, "result": "aborted", "reason": "it failed on 31 of 400 rows"}
                yield self._rollout(name, self.each, self.champion, at, plan, shadow) | end

    def _rollout(
        self, name: str, version: int, epoch: int, at: datetime, plan: list[dict[str, Any]], step: int
    ) -> dict[str, Any]:
        return {
            "id": f"{name}-v{version}-r{epoch}-{step}",
            "model_name": name,
            "candidate_id": f"{name}-v{version}",
            "model_version": version,
            "champion_version": max(1, version - 3),
            "champion_epoch": epoch,
            "challenge": {"evidence_id": f"{name}-v{version}", "evidence_digest": DIGEST},
            "policy_digest": DIGEST,
            "plan": plan,
            "step": min(step, len(plan) - 1),
            "stage": plan[min(step, len(plan) - 1)]["stage"],
            "revision": epoch,
            "salt": "s",
            "tried": {"model_version": version, "artifact_uri": "models:/m/1", "artifact_digest": DIGEST},
            "loss": None,
            "label_maturity_seconds": 0.0,
            "began_at": at,
            "step_began_at": at,
            "ended_at": None,
            "measured": None,
            "figures": [],
            "history": [],
            "verdict_digest": DIGEST,
            "result": None,
            "actor": "gatekeeper",
            "reason": "it has proved itself",
            "event_id": None,
            "correlation_id": f"story-{name}-{version}",
        }

    def _approvals(self) -> Iterator[dict[str, Any]]:
        for row in self._rollouts():
            if row["stage"] == "approval":
                yield {
                    "rollout_id": row["id"],
                    "verdict_digest": DIGEST,
                    "actor": "ann",
                    "decision": GIVEN,
                    "reason": "as agreed",
                    "at": row["began_at"],
                }

    def _replicas(self) -> Iterator[dict[str, Any]]:
        newest = self.champion // 3 + 1
        for number, name in enumerate(self.names):
            for replica, role in (
                ("production-1", "production"),
                ("production-2", "production"),
                ("staging-1", "staging"),
            ):
                lags = replica == "production-2" and number % 20 == 9
                yield {
                    "replica": replica,
                    "model_name": name,
                    "role": role,
                    "model_version": self.champion - (3 if lags else 0),
                    "epoch": newest - lags if role == "production" else None,
                    "loaded_at": self.now - RECENT + timedelta(minutes=2),
                    "failed_version": self.champion if lags else None,
                    "failure": "no space left on device" if lags else None,
                    "failed_at": self.now - RECENT + timedelta(minutes=3) if lags else None,
                }

    def _jobs(self) -> Iterator[dict[str, Any]]:
        for number, name, version, at in self._versions():
            failed = version == self.each and number % 40 == 6
            yield {
                "id": f"gate:{name}-v{version}",
                "kind": "gate",
                "key": name,
                "payload": {"candidate_id": f"{name}-v{version}"},
                "state": FAILED if failed else DONE,
                "attempts": 1,
                "takeovers": 0,
                "not_before": at,
                "created_at": at,
                "started_at": at,
                "ended_at": at + timedelta(minutes=5),
                "error": "Traceback\nPermanent: MLflow has no such version" if failed else None,
            }

    def _events(self) -> Iterator[dict[str, Any]]:
        for number, name, version, at in self._versions():
            story = f"story-{name}-{version}"
            if version % 5 == 2 or (version == self.each and number % 8 == 1):
                yield self._event(name, version, story, at - timedelta(hours=1), "DriftDetected", _drift(version, at))
            if version == self.each and number % 16 == 2:
                failed = {"job_id": f"job-{name}", "reason": "ValueError: no rows", "window": "2026-11"}
                yield self._event(name, None, story, at + timedelta(hours=5), "TrainingFailed", failed)
            yield self._event(name, version, story, at, "ModelRegistered", {"run_id": "r"})
            passed = self._state(number, version) == "passed"
            judged = {"outcome": "Passed" if passed else "Failed", "reason": "7 of 7 gates", "verdicts": []}
            yield self._event(name, version, story, at, "GatePassed" if passed else "GateFailed", judged)
            if version % 3 == 1 and version <= self.champion:
                yield self._event(name, version, story, at, "Promoted", {"epoch": version // 3 + 1})
        for number, name in enumerate(self.names):
            if number % 8 == 1:
                at = self.now - timedelta(hours=8)
                yield self._event(name, self.champion, f"drift-{name}", at, "DriftDetected", _drift(self.champion, at))

    def _event(
        self, name: str, version: int | None, story: str, at: datetime, kind: str, data: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "source": "gauntlet",
            "event_id": f"{kind}-{name}-{version}-{at.timestamp()}",
            "type": kind,
            "model_name": name,
            "model_version": version,
            "correlation_id": story,
            "causation_id": None,
            "at": at,
            "received_at": at,
            "data": {"model_name": name, "model_version": version, **data},
        }

    def _inbox(self) -> Iterator[dict[str, Any]]:
        for _, name, version, at in self._versions():
            yield {
                "source": "trainer",
                "event_id": f"registered-{name}-{version}",
                "type": ModelRegistered.type,
                "handled_at": at,
            }

    def _outbox(self) -> Iterator[dict[str, Any]]:
        for _, name, version, at in self._versions():
            yield {
                "topic": "gate-failed",
                "key": name.encode(),
                "value": f"{{'version': {version}}}".encode(),
                "headers": [],
                "created_at": at,
                "published_at": at,
            }

    def _letters(self) -> Iterator[dict[str, Any]]:
        """Two of each tenth model, and one whose key is no model's name."""
        keys = [*(name for name in self.names[::10] for _ in range(2)), None]
        for number, name in enumerate(keys):
            yield {
                "id": f"drift:predictions:0:{number}",
                "service": "drift",
                "topic": "predictions",
                "model_name": name,
                "error": "ValidationError: 1 validation error for PredictionMade\nrows\n  Field required",
                "attempts": 1,
                "bytes": 200,
                "at": self.now - timedelta(hours=1, seconds=number),
                "at_partition": 0,
                "at_offset": number,
            }

    def _messages(self) -> Iterator[dict[str, Any]]:
        """One a version; those of the newest versions of each tenth model were given up."""
        for number, name, version, at in self._versions():
            failed = version == self.each and number % 10 == 0
            yield {
                "id": f"message-{name}-{version}",
                "subscription": "team",
                "target": "chat",
                "group": None,
                "critical": False,
                "title": f"{name} v{version} was judged",
                "model_name": name,
                "events": 1,
                "state": GIVEN_UP if failed else SENT,
                "created_at": at,
                "due_at": at,
                "first_due_at": at,
                "attempts": 14 if failed else 1,
                "attempts_before": 0,
                "ended_at": at,
                "last_reply": "HTTP status 500" if failed else "HTTP status 200",
            }

    def _audit(self, database: Database) -> None:
        last = GENESIS

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal last
            for number in range(self.audits):
                entry = linked(
                    Entry(
                        sequence=number + 1,
                        at=self.now - PAST * (1 - number / self.audits),
                        actor="gatekeeper",
                        action=("registered", "judged", "promoted", "rollout")[number % 4],
                        model_name=self.names[number % self.models],
                        model_version=1 + number // self.models % self.each,
                        reason="roc_auc 0.6415 against the champion's 0.6755 on the same 20000 rows",
                        evidence={"candidate": number, "golden": DIGEST},
                        correlation_id=f"story-{number}",
                        previous_digest=last,
                    )
                )
                last = entry.digest
                yield dict(vars(entry))

        _insert(database, AuditRow, rows())
        with database.transaction() as session:
            session.execute(update(AuditHeadRow).values(count=self.audits, digest=last))


def _drift(version: int, at: datetime) -> dict[str, Any]:
    score = {"method": "psi", "score": 0.3, "limit": 0.1, "drifted": True, "expected": 0.02}
    return {
        "kind": "data",
        "model_version": version,
        "window": {"id": f"w-{version}", "rows": 2000, "start": at.isoformat(), "end": at.isoformat(), "labelled": 0},
        "drift_share": 0.4,
        "scores": [{"feature": f"column-{each}", **score} for each in range(20)],
        "harm": None,
        "proxy": False,
        "reason": "8 of 20 columns have drifted",
    }


def _insert(database: Database, table: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    rest = iter(rows)
    while some := list(islice(rest, AT_A_TIME)):
        with database.transaction() as session:
            session.execute(insert(table), some)
