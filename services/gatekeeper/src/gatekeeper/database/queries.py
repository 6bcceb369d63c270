"""Queries on the gatekeeper's tables. Every function uses the caller's session; the caller commits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, load_only

from contracts import Envelope, GateVerdict, ModelRegistered, Outcome, Promoted, Stage
from gatekeeper.database import audit_trail
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.database.tables import (
    REGISTERED,
    AuditRow,
    CandidateRow,
    ModelRow,
    PromotionRow,
    ReplicaRow,
    VerdictRow,
)
from gatekeeper.policy.promotion import RunningRollout, State


def candidate_id(model_name: str, model_version: int) -> str:
    return f"{model_name}-v{model_version}"


def add_candidate(session: Session, envelope: Envelope[ModelRegistered]) -> CandidateRow | None:
    """Add a candidate; None when the version is one already."""
    event = envelope.data
    row = {
        "id": candidate_id(event.model_name, event.model_version),
        "model_name": event.model_name,
        "model_version": event.model_version,
        "state": REGISTERED,
        "event": envelope.model_dump(mode="json"),
        "registered_at": envelope.time,
        "artifact_uri": event.artifact_uri,
        "metrics": {},
        "evidence": {},
    }
    # RETURNING, since psycopg reports no row count for an INSERT through the ORM.
    insert = insert_of(session)(CandidateRow).values(row).on_conflict_do_nothing()
    added = session.scalar(insert.returning(CandidateRow.id))
    return None if added is None else session.get_one(CandidateRow, added)


def envelope_of(row: CandidateRow) -> Envelope[ModelRegistered]:
    return Envelope[ModelRegistered].model_validate(row.event)


def candidate(session: Session, model_name: str, model_version: int) -> CandidateRow | None:
    return session.get(CandidateRow, candidate_id(model_name, model_version))


def candidate_by_id(session: Session, row_id: str) -> CandidateRow | None:
    return None if "\0" in row_id else session.get(CandidateRow, row_id)  # PostgreSQL rejects NUL even in a comparison


def candidates(
    session: Session, model_name: str, limit: int = 100, columns: Sequence[InstrumentedAttribute[Any]] = ()
) -> Sequence[CandidateRow]:
    """Newest version first; with these columns only, if some are given."""
    query = select(CandidateRow).where(CandidateRow.model_name == model_name)
    if columns:
        query = query.options(load_only(*columns, raiseload=True))
    return session.scalars(query.order_by(CandidateRow.model_version.desc()).limit(limit)).all()


def queued(session: Session, model_name: str) -> Sequence[CandidateRow]:
    """Return the candidates whose first judgement has not begun, oldest event first."""
    query = select(CandidateRow).where(
        CandidateRow.model_name == model_name, CandidateRow.state == REGISTERED, CandidateRow.judgement == 1
    )
    return session.scalars(query.order_by(CandidateRow.registered_at, CandidateRow.model_version)).all()


def candidate_versions(session: Session, model_name: str) -> set[int]:
    return set(session.scalars(select(CandidateRow.model_version).where(CandidateRow.model_name == model_name)))


def add_verdicts(session: Session, row: CandidateRow, verdicts: Iterable[GateVerdict]) -> None:
    for position, verdict in enumerate(verdicts):
        fields = verdict.model_dump(mode="json")
        session.add(VerdictRow(candidate_id=row.id, position=position, **fields))


def verdicts(session: Session, of: CandidateRow) -> tuple[GateVerdict, ...]:
    rows = session.scalars(select(VerdictRow).where(VerdictRow.candidate_id == of.id).order_by(VerdictRow.position))
    return tuple(gate_verdict(row) for row in rows)


def gate_verdict(row: VerdictRow) -> GateVerdict:
    names = [name for name in GateVerdict.model_fields if name != "outcome"]
    return GateVerdict(outcome=Outcome(row.outcome), **{name: getattr(row, name) for name in names})


def lock(session: Session, model_name: str) -> ModelRow:
    """Lock the model's row until the transaction ends: decisions on one model are serialized."""
    session.execute(insert_of(session)(ModelRow).values(name=model_name).on_conflict_do_nothing())
    query = select(ModelRow).where(ModelRow.name == model_name)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()


def model(session: Session, model_name: str) -> ModelRow | None:
    return session.get(ModelRow, model_name)


def champion(session: Session, model_name: str, *, but: int | None = None) -> PromotionRow | None:
    """The newest promotion; of another version than `but`, if that is given."""
    query = select(PromotionRow).where(PromotionRow.model_name == model_name)
    if but is not None:
        query = query.where(PromotionRow.model_version != but)
    return session.scalars(query.order_by(PromotionRow.epoch.desc()).limit(1)).first()


def newest_epoch(name: ColumnElement[str]) -> Any:
    """Return the newest epoch of a model, as a part of a query."""
    each = aliased(PromotionRow)
    return select(func.max(each.epoch)).where(each.model_name == name).scalar_subquery()


def champions(session: Session) -> Sequence[Row[tuple[str, int, int, str, datetime]]]:
    """Model, epoch, version, cause and time of every newest promotion, by one look at each model's last epoch."""
    return session.execute(
        select(
            PromotionRow.model_name,
            PromotionRow.epoch,
            PromotionRow.model_version,
            PromotionRow.cause,
            PromotionRow.promoted_at,
        ).join(
            ModelRow, (ModelRow.name == PromotionRow.model_name) & (PromotionRow.epoch == newest_epoch(ModelRow.name))
        )
    ).all()


def frozen_since(session: Session) -> dict[str, datetime]:
    """Return since when each model is frozen that is."""
    rows = session.execute(select(ModelRow.name, ModelRow.frozen_at).where(ModelRow.frozen_at.is_not(None)))
    return {name: at for name, at in rows if at is not None}


def challenger(session: Session, model_name: str) -> CandidateRow | None:
    """The newest version that passed its gates since the champion was promoted, and is not the champion."""
    current = champion(session, model_name)
    query = select(CandidateRow).where(CandidateRow.model_name == model_name, CandidateRow.state == "passed")
    if current is not None:
        query = query.where(
            CandidateRow.judged_at >= current.promoted_at, CandidateRow.model_version != current.model_version
        )
    return session.scalars(query.order_by(CandidateRow.model_version.desc()).limit(1)).first()


def promotions(session: Session, model_name: str, limit: int = 1000) -> Sequence[PromotionRow]:
    """Newest first."""
    query = select(PromotionRow).where(PromotionRow.model_name == model_name)
    return session.scalars(query.order_by(PromotionRow.epoch.desc()).limit(limit)).all()


def promotion_of(session: Session, model_name: str, model_version: int) -> PromotionRow | None:
    """The newest promotion of this version."""
    query = select(PromotionRow).where(
        PromotionRow.model_name == model_name, PromotionRow.model_version == model_version
    )
    return session.scalars(query.order_by(PromotionRow.epoch.desc()).limit(1)).first()


def epochs_of(session: Session, model_name: str, model_version: int) -> list[int]:
    query = select(PromotionRow.epoch).where(
        PromotionRow.model_name == model_name, PromotionRow.model_version == model_version
    )
    return list(session.scalars(query.order_by(PromotionRow.epoch)))


def past_champions(session: Session, model_name: str) -> frozenset[int]:
    """Every version that was ever champion; after a restore, also those known only as a previous version."""
    found: set[int] = set()
    for row in promotions(session, model_name):
        found.add(row.model_version)
        found.update(version for version in (row.event.get("previous_version"),) if version is not None)
    return frozenset(found)


def add_promotion(
    session: Session, envelope: Envelope[Promoted], *, restored: bool = False, gated_candidate: str | None = None
) -> None:
    event = envelope.data
    session.add(
        PromotionRow(
            model_name=event.model_name,
            epoch=event.epoch,
            model_version=event.model_version,
            cause=event.cause.value,
            actor=event.actor,
            promoted_at=envelope.time,
            restored=restored,
            gated_candidate=gated_candidate,
            event_id=envelope.id,
            event=event.model_dump(mode="json"),
        )
    )


def state(session: Session, model_name: str) -> State:
    """The state that decisions on this model use."""
    current = champion(session, model_name)
    row = model(session, model_name)
    query = select(func.max(PromotionRow.promoted_at)).where(
        PromotionRow.model_name == model_name, PromotionRow.restored.is_(True)
    )
    running = session.execute(
        select(RolloutRow.model_version, RolloutRow.stage).where(
            RolloutRow.model_name == model_name, RolloutRow.ended_at.is_(None)
        )
    ).first()
    return State(
        champion_version=current.model_version if current else None,
        epoch=current.epoch if current else 0,
        frozen=row is not None and row.frozen_at is not None,
        restored_at=session.scalar(query),
        rollout=None if running is None else RunningRollout(running[0], running[1] == Stage.WATCH),
    )


def distinct(session: Session, column: InstrumentedAttribute[str]) -> list[str]:
    """Return the values of a column that an index begins with, in order: one step of the index for each.

    `SELECT DISTINCT` reads every row. https://wiki.postgresql.org/wiki/Loose_indexscan
    """
    first = select(func.min(column).label("value")).cte(recursive=True)
    following = select(func.min(column)).where(column > first.c.value).scalar_subquery()
    steps = first.union_all(select(following).where(first.c.value.is_not(None)))
    return list(session.scalars(select(steps.c.value).where(steps.c.value.is_not(None))))


def model_names(session: Session) -> set[str]:
    """Every model with a row in this database."""
    found = set(session.scalars(select(ModelRow.name)))
    for column in (CandidateRow.model_name, PromotionRow.model_name):
        found.update(distinct(session, column))
    return found


def has_rows(session: Session, model_name: str) -> bool:
    """Whether it is one of `model_names`."""
    columns = (ModelRow.name, CandidateRow.model_name, PromotionRow.model_name)
    return bool(session.scalar(select(or_(*(exists().where(column == model_name) for column in columns)))))


def add_audit(
    session: Session,
    action: str,
    model_name: str,
    model_version: int | None,
    *,
    actor: str,
    reason: str,
    evidence: dict[str, Any] | None = None,
    correlation_id: str | None = None,
) -> None:
    """Append a row in this transaction; until it ends, no other transaction can append one."""
    audit_trail.append(
        session,
        action=action,
        model_name=model_name,
        model_version=model_version,
        actor=actor,
        reason=reason,
        evidence=evidence or {},
        correlation_id=correlation_id,
    )


def audit(
    session: Session, model_name: str | None, limit: int, visible: Collection[str] | None = None
) -> Sequence[AuditRow]:
    """Newest first; `visible`: of these models only."""
    query = select(AuditRow).order_by(AuditRow.sequence.desc()).limit(limit)
    if visible is not None:
        query = query.where(AuditRow.model_name.in_(visible))
    return session.scalars(query.where(AuditRow.model_name == model_name) if model_name else query).all()


def replicas(session: Session, model_name: str) -> Sequence[ReplicaRow]:
    query = select(ReplicaRow).where(ReplicaRow.model_name == model_name)
    return session.scalars(query.order_by(ReplicaRow.role, ReplicaRow.replica)).all()


def replica(session: Session, name: str, model_name: str, role: str) -> ReplicaRow:
    """The row of this replica, created if missing."""
    values = {"replica": name, "model_name": model_name, "role": role}
    session.execute(insert_of(session)(ReplicaRow).values(values).on_conflict_do_nothing())
    return session.get_one(ReplicaRow, (name, model_name))


def insert_of(session: Session) -> Any:
    """An INSERT with ON CONFLICT support, in the dialect of this session's database."""
    return sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
