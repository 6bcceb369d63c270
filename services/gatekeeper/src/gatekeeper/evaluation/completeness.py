"""What a version lacks before its gates can judge it: no verdict is reached without it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from chassis.errors import Permanent
from chassis.policy_store import PolicyStore
from contracts import Dataset
from contracts.policy import ModelPolicy
from gatekeeper.database import golden_datasets
from gatekeeper.evaluation.gate_runner import needs
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.policy.needs import Need

NEEDS_GOLDEN_ROWS = frozenset({Need.CHAMPION, Need.TRAINING_KEYS, Need.DIRTY_ROWS})

UNFINISHED_RUNS = ("RUNNING", "SCHEDULED")

FOUND = "reconciler"
"""`Trigger.kind` of a version that nobody announced: whoever logs it may not be done with it."""


def policy_of(model_name: str, policies: PolicyStore) -> str:
    """Name the policy that is missing, and where it is looked for, or why its file cannot be used."""
    return f"a policy: {policies.why_missing(model_name)}"


def missing(session: Session, found: Provenance, policy: ModelPolicy) -> str | None:
    """Return what the version still lacks and what supplies it; None when it can be judged."""
    if found.version is None:
        return None  # the gate lineage says so at once
    trigger = found.event.trigger
    if trigger is not None and trigger.kind == FOUND and found.run_status in UNFINISHED_RUNS:
        return (
            f"the end of its run {found.event.run_id}, which is {found.run_status} (mlflow.end_run(); or"
            f" gauntlet register {found.event.model_name} {found.event.model_version}, which does not wait for it)"
        )
    if needs(policy) & NEEDS_GOLDEN_ROWS and golden_of(session, found, policy) is None:
        return (
            f"golden rows, labelled rows to judge it on: gauntlet golden create {found.event.model_name} FILE"
            " --label COLUMN --note WHAT"
        )
    return None


def golden_of(session: Session, found: Provenance, policy: ModelPolicy) -> Dataset | None:
    """Return the dataset on which the version would be judged; None when there is none yet."""
    try:
        wanted = golden_datasets.wanted(session, found.event.model_name, policy.golden.dataset)
    except Permanent:
        return None
    return wanted or found.event.evaluation
