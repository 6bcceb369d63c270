"""What a version lacks before its gates can judge it: no verdict is reached without it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from chassis.errors import Permanent
from chassis.policy_store import PolicyStore
from contracts import Dataset
from contracts.policy import ModelPolicy
from gatekeeper.database import golden_datasets
from gatekeeper.evaluation.gate_runner import needs
from gatekeeper.evaluation.golden_roles import GoldenSource
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
    if needs(policy) & NEEDS_GOLDEN_ROWS and golden_digest(found, golden_of(session, found, policy)[0], policy) is None:
        looked = f" ({'; '.join(found.golden_tried)})" if found.golden_tried else ""
        return (
            f"golden rows, labelled rows to judge it on{looked}: gauntlet golden create {found.event.model_name} FILE"
            " --label COLUMN"
        )
    return None


def golden_of(session: Session, found: Provenance, policy: ModelPolicy) -> tuple[Dataset | None, GoldenSource | None]:
    """Return the created dataset on which the version would be judged; None for its own, or where there is none yet.

    It is the one that the policy names; the newest, for a version that brings no rows of its own.
    """
    name, own = found.event.model_name, found.event.evaluation
    try:
        wanted = golden_datasets.wanted(session, name, policy.golden.dataset, or_newest=own is None)
    except Permanent:
        return None, None
    return wanted, GoldenSource(*golden_datasets.names(session, name, wanted.digest)) if wanted else None


def golden_digest(found: Provenance, wanted: Dataset | None, policy: ModelPolicy) -> str | None:
    """Return the digest of the rows that it is judged on: of `wanted`, as `golden_of` returns it, else its own.

    None where there are none yet, also of a policy that names a dataset which does not exist.
    """
    if wanted is not None:
        return wanted.digest
    own = found.event.evaluation
    return own.digest if own is not None and policy.golden.dataset is None else None
