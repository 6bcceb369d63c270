"""Decide, for a version that has a verdict and was registered again, whether it is judged again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.job_worker import Record, RunAgain
from chassis.registry import Registry
from contracts import Cause, Envelope, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.database import queries, registrations
from gatekeeper.database.candidate_verdict import STATES
from gatekeeper.database.tables import UNJUDGED, CandidateRow
from gatekeeper.evaluation.completeness import golden_digest, golden_of
from gatekeeper.evaluation.lineage import Provenance, trace
from gatekeeper.policy.registration import Circumstances, JudgeAgain, Keep, Standing, on_registered_again

OUTCOMES = {state: outcome for outcome, state in STATES.items()}


@dataclass(frozen=True)
class _Requests:
    """The registrations to decide on: their event ids, the newest event, and the one that requests it explicitly."""

    seen: frozenset[str]
    newest: Envelope[ModelRegistered]
    again: Envelope[ModelRegistered] | None
    judgement: int


class Rejudging:
    def __init__(self, database: Database, registry: Registry, policies: Mapping[str, ModelPolicy]) -> None:
        self._database = database
        self._registry = registry
        self._policies = policies

    def decide(self, candidate_id: str) -> Record | None:
        """Begin another judgement, or return the record that the verdict stands. Raises Transient.

        None: the version has no verdict, whether it had none before or it is judged again from here on. A crash
        after that leaves it without one, so the job that is taken over continues.
        """
        with self._database.reading() as session:
            row = session.get(CandidateRow, candidate_id)
            if row is None or row.state in UNJUDGED:
                return None
            requests = _requests(session, row)
        if requests is None:
            return None
        found = trace(self._registry, requests.newest.data)
        with self._database.reading() as session:
            standing = _standing(session, session.get_one(CandidateRow, candidate_id))
            now = self._circumstances(session, found)
        why = requests.again.data.trigger.reason if requests.again and requests.again.data.trigger else None
        action = on_registered_again(standing, now, requests.again is not None, (why or "").strip() or None)
        if isinstance(action, Keep):
            return partial(_keep, candidate_id, requests.seen, action.reason)
        self._begin(candidate_id, requests, action)
        return None

    def _begin(self, candidate_id: str, requests: _Requests, action: JudgeAgain) -> None:
        with self._database.transaction() as session:
            queries.lock(session, requests.newest.model_name)
            row = session.get_one(CandidateRow, candidate_id)
            if row.state in UNJUDGED or row.judgement != requests.judgement:
                return  # a worker that had lost its lease did it
            registrations.judge_again(session, row, requests.again or requests.newest, action.reason)

    def _circumstances(self, session: Session, found: Provenance) -> Circumstances:
        name = found.event.model_name
        policy = self._policies.get(name)
        golden = golden_digest(found, golden_of(session, found, policy)[0], policy) if policy else None
        champion = queries.champion(session, name)
        return Circumstances(
            policy.digest if policy else None,
            golden,
            champion.model_version if champion else None,
            _data(found.event),
        )


def _requests(session: Session, row: CandidateRow) -> _Requests | None:
    envelopes = [registrations.envelope_of(each) for each in registrations.undecided(session, row.id)]
    if not envelopes:
        return None
    again = [each for each in envelopes if registrations.requested_again(each)]
    return _Requests(
        frozenset(each.id for each in envelopes), envelopes[-1], again[-1] if again else None, row.judgement
    )


def _standing(session: Session, row: CandidateRow) -> Standing:
    under = Circumstances(
        row.policy_digest, row.golden_digest, row.champion_version, _data(queries.envelope_of(row).data)
    )
    assert row.judged_at is not None, "it has a verdict"
    return Standing(row.model_version, OUTCOMES.get(row.state), row.judged_at, under, _is_rolled_back(session, row))


def _is_rolled_back(session: Session, row: CandidateRow) -> bool:
    """Was this version champion until a person rolled back from it?"""
    held = False
    for each in reversed(queries.promotions(session, row.model_name)):
        if each.cause == Cause.ROLLBACK and each.event.get("previous_version") == row.model_version:
            held = True
        elif each.model_version == row.model_version:
            held = False
    return held


def _data(event: ModelRegistered) -> dict[str, str]:
    """Return what was registered with a version and bears on its verdict, by its name."""
    datasets = {name: getattr(event, name) for name in ("training", "evaluation", "reference", "training_keys")}
    found = {name: dataset.digest for name, dataset in datasets.items() if dataset is not None}
    for name in ("artifact_uri", "artifact_digest", "run_id", "code_version"):
        if (value := getattr(event, name)) is not None:
            found[name] = value
    return found


def _keep(candidate_id: str, seen: frozenset[str], why: str, session: Session) -> None:
    if not registrations.keep(session, session.get_one(CandidateRow, candidate_id), seen, why):
        raise RunAgain("it was registered once more meanwhile")
