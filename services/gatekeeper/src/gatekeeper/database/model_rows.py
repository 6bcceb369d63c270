"""What is known of several models, in a constant number of queries: however many they are, and however long their past.

Each query begins with the names and finds what it needs by an index, as `SELECT max(epoch) … WHERE model_name = name`
does: no list of a model's past is read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, and_, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, defer, load_only

from chassis.columns import UtcDateTime
from gatekeeper.database.queries import candidate_id, newest_epoch
from gatekeeper.database.tables import CandidateCountRow, CandidateRow, ModelRow, PromotionRow, ReplicaRow

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
SUMMARY = (
    CandidateRow.id,
    CandidateRow.model_name,
    CandidateRow.model_version,
    CandidateRow.state,
    CandidateRow.reason,
    CandidateRow.judgement,
    CandidateRow.champion_version,
    CandidateRow.metrics,
    CandidateRow.registered_at,
    CandidateRow.gating_at,
    CandidateRow.judged_at,
    CandidateRow.quarantine,
)
"""What a list of versions shows: events and evidence have up to hundreds of kilobytes each."""


@dataclass(frozen=True)
class ModelRows:
    """The rows of one model. `challenger_epochs`: of the challenger's earlier promotions."""

    name: str
    model: ModelRow | None = None
    champion: PromotionRow | None = None
    challenger: CandidateRow | None = None
    challenger_epochs: tuple[int, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    replicas: Sequence[ReplicaRow] = ()


def listed(session: Session, values: Collection[str]) -> Any:
    """Return a table of one column, `value`, with these values as one parameter: a plan is made once for any number."""
    given = json.dumps(sorted(values))
    if session.get_bind().dialect.name == "sqlite":
        return func.json_each(given).table_valued("value", name="listed")
    return func.jsonb_array_elements_text(cast(literal(given, String), JSONB)).table_valued("value", name="listed")


def rows_of(session: Session, names: Collection[str], *, events: bool = True) -> dict[str, ModelRows]:
    """Return what is known of each of these models. `events`: with the event of the champion's promotion."""
    champions, challenging = _champions(session, names, events=events)
    challengers, epochs = _challengers(session, challenging)
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    given = listed(session, names)
    kept = select(CandidateCountRow).join(given, CandidateCountRow.model_name == given.c.value)
    for number in session.scalars(kept.where(CandidateCountRow.versions > 0).order_by(CandidateCountRow.state)):
        counts[number.model_name][number.state] = number.versions
    wanted = select(given.c.value)
    models = {row.name: row for row in session.scalars(select(ModelRow).where(ModelRow.name.in_(wanted)))}
    replicas: dict[str, list[ReplicaRow]] = defaultdict(list)
    reports = select(ReplicaRow).where(ReplicaRow.model_name.in_(wanted))
    for row in session.scalars(reports.order_by(ReplicaRow.role, ReplicaRow.replica)):
        replicas[row.model_name].append(row)
    return {
        name: ModelRows(
            name,
            models.get(name),
            champions.get(name),
            challengers.get(name),
            tuple(epochs.get(name, ())),
            counts.get(name, {}),
            replicas.get(name, ()),
        )
        for name in names
    }


def epochs_of(session: Session, versions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], list[int]]:
    """Return the epochs of each of these versions, oldest first, in one query."""
    wanted = set(versions)
    given = listed(session, [candidate_id(*each) for each in wanted])
    # By candidate: a version that was promoted is one.
    version = and_(
        PromotionRow.model_name == CandidateRow.model_name, PromotionRow.model_version == CandidateRow.model_version
    )
    query = select(CandidateRow.model_name, CandidateRow.model_version, PromotionRow.epoch)
    query = query.select_from(given).join(CandidateRow, CandidateRow.id == given.c.value).join(PromotionRow, version)
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for name, number, epoch in session.execute(query.order_by(PromotionRow.epoch)):
        found[name, number].append(epoch)
    return found


def _champions(
    session: Session, names: Collection[str], *, events: bool
) -> tuple[dict[str, PromotionRow], dict[str, int]]:
    """Return the newest promotion of each model, and the newest version that passed since and is not the champion."""
    given = listed(session, names)
    name = given.c.value
    champion = and_(PromotionRow.model_name == name, PromotionRow.epoch == newest_epoch(name))
    since = func.coalesce(PromotionRow.promoted_at, literal(LONG_AGO, UtcDateTime))
    # `+ 0`: else SQLite walks the versions down from the newest, to the first one where none has passed since.
    passed = select(func.max(CandidateRow.model_version + 0)).where(
        CandidateRow.model_name == name,
        CandidateRow.state == "passed",
        CandidateRow.judged_at >= since,
        CandidateRow.model_version != func.coalesce(PromotionRow.model_version, 0),
    )
    query = select(name, PromotionRow, passed.scalar_subquery()).select_from(given).outerjoin(PromotionRow, champion)
    if not events:
        query = query.options(defer(PromotionRow.event, raiseload=True))
    champions, challenging = {}, {}
    for model, row, version in session.execute(query):
        if row is not None:
            champions[model] = row
        if version is not None:
            challenging[model] = version
    return champions, challenging


def _challengers(session: Session, versions: Mapping[str, int]) -> tuple[dict[str, CandidateRow], dict[str, list[int]]]:
    given = listed(session, [candidate_id(name, version) for name, version in versions.items()])
    query = select(CandidateRow).select_from(given).join(CandidateRow, CandidateRow.id == given.c.value)
    rows = session.scalars(query.options(load_only(*SUMMARY, raiseload=True)))
    epochs = epochs_of(session, versions.items())
    return (
        {row.model_name: row for row in rows},
        {name: epochs.get((name, version), []) for name, version in versions.items()},
    )
