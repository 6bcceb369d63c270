"""The rows that a tournament is played on: of a benchmark, as versions are judged on them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from contracts import BenchmarkDue, Dataset, Outcome
from contracts.policy import ModelPolicy
from gatekeeper.database import benchmarks, golden_datasets, queries
from gatekeeper.database.benchmark_tables import BenchmarkRow
from gatekeeper.evaluation.golden_roles import GoldenSource
from gatekeeper.policy.tournament import comparison
from gatekeeper.policy.tournament_trigger import BenchmarkTrigger, Skip, after_benchmark
from gatekeeper.tournaments.eligibility import retained


@dataclass(frozen=True)
class Ground:
    """The rows that a tournament is played on. `k`: its entrants together are the k-th challenger on them."""

    tournament_id: str
    dataset: Dataset
    source: GoldenSource
    k: int
    policy: ModelPolicy


def on_rows(policy: ModelPolicy, due: BenchmarkDue) -> ModelPolicy:
    """Return the policy for judging on these rows: all of them, with the columns that their file has."""
    most = max(due.rows.rows or 0, policy.golden.max_rows)
    golden = policy.golden.model_copy(update={"dataset": due.rows.digest, "max_rows": most})
    return policy.model_copy(update={"golden": golden, "label": due.label, "entity": due.entity or policy.entity})


def source_of(due: BenchmarkDue) -> GoldenSource:
    """Return where the rows are from, and the names of their columns."""
    names = {"label": due.label, "entity": due.entity, "event_time": due.event_time}
    return GoldenSource(
        f"benchmark {due.benchmark_id}: labelled production rows",
        {role: name for role, name in names.items() if name is not None},
    )


def tournament_id(benchmark_id: str) -> str:
    return f"{benchmark_id}-tournament"[:240]


def trigger_of(session: Session, row: BenchmarkRow, policy: ModelPolicy | None) -> BenchmarkTrigger:
    """Return the input of `policy.tournament_trigger.after_benchmark`."""
    champion = queries.champion(session, row.model_name)
    others = 0
    if champion is not None and policy is not None and comparison(policy) is not None:
        others = len(retained(session, row.model_name, policy, champion.model_version))
    return BenchmarkTrigger(
        failed=row.outcome == Outcome.FAILED,
        compared=row.champion_version,
        champion_version=champion.model_version if champion else None,
        played=golden_datasets.tournament_by_id(session, tournament_id(row.id)) is not None,
        others=others,
    )


def ground_of_benchmark(session: Session, benchmark_id: str, policy: ModelPolicy | None) -> Ground | Skip:
    """Return the rows of a benchmark for a tournament, or why there is none."""
    row = benchmarks.by_id(session, benchmark_id)
    if row is None:
        return Skip(f"benchmark {benchmark_id} is not known")
    if (why := after_benchmark(trigger_of(session, row, policy), policy)) is not None:
        return why
    assert policy is not None, "there is an occasion"
    due = BenchmarkDue.model_validate(row.due)
    return Ground(
        tournament_id=tournament_id(benchmark_id),
        dataset=due.rows,
        source=source_of(due),
        k=golden_datasets.challengers(session, row.model_name, due.rows.digest) + 1,
        policy=on_rows(policy, due),
    )
