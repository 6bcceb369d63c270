"""Challengers that waited for the end of a rollout: each begins its own, or is judged again."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from chassis.database import Database
from contracts import Outcome
from contracts.policy import ModelPolicy
from gatekeeper.database import challenges, queries, registrations, rollouts
from gatekeeper.database.candidate_verdict import candidate_result_of
from gatekeeper.database.challenges import Challenge
from gatekeeper.database.job_kinds import GATE
from gatekeeper.database.recorder import Recorder
from gatekeeper.database.tables import UNJUDGED, CandidateRow
from gatekeeper.policy.promotion import (
    AfterGates,
    BeginRollout,
    Hold,
    Promote,
    Reevaluate,
    State,
    after_gates,
    after_tournament,
)


class WaitingChallengers:
    def __init__(self, database: Database, recorder: Recorder, policies: Mapping[str, ModelPolicy]) -> None:
        self._database = database
        self._recorder = recorder
        self._policies = policies

    def begin(self, model_name: str) -> None:
        """Begin the rollout of the challenger that waits; judge it again if champion or policy have changed since.

        Raises Transient when the database is unavailable.
        """
        with self._database.transaction() as session:
            queries.lock(session, model_name)
            waiting, state = rollouts.waiting(session, model_name), queries.state(session, model_name)
            if waiting is None or state.rollout is not None or state.frozen:
                return
            row = session.get_one(CandidateRow, waiting.candidate_id)
            challenge = challenges.challenge_of(waiting)
            session.delete(waiting)
            session.flush()
            if row.state not in UNJUDGED:  # else its next verdict decides
                self._follow(session, row, challenge, state)

    def _follow(self, session: Session, row: CandidateRow, challenge: Challenge, state: State) -> None:
        policy = self._policies.get(row.model_name)
        action = None
        if policy is not None and policy.digest == challenge.policy_digest:
            action = _action(row, challenge, policy, state)
            if isinstance(action, BeginRollout):
                self._recorder.challenge(session, row, action, challenge, policy, None)
                return
            if isinstance(action, Promote):
                self._recorder.promote_challenge(session, row, action, challenge, policy, None)
                return
        if isinstance(action, Hold):
            self._recorder.audit(session, "held", row, action.reason, None)
            return
        why = action.reason if isinstance(action, Reevaluate) else "the policy has changed"
        self._judge_again(session, row, f"it waited for the end of a rollout; {why}")

    def _judge_again(self, session: Session, row: CandidateRow, why: str) -> None:
        envelope = queries.envelope_of(row)
        registrations.judge_again(session, row, envelope, why)
        self._recorder.jobs.enqueue(
            session, kind=GATE, key=row.model_name, payload={"candidate_id": row.id}, cause=envelope
        )


def _action(row: CandidateRow, challenge: Challenge, policy: ModelPolicy, state: State) -> AfterGates:
    result = candidate_result_of(row, Outcome.PASSED, challenge.compared_with, policy)
    if challenge.tournament:
        return after_tournament(result, row.model_version, state, row.quarantine)
    return after_gates(result, state)
