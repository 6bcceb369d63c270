"""Queries of rollouts' tables. The model is locked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from drift.database.store import chunks
from drift.rollouts.rows import TrialRow, from_columns, to_columns
from drift.rollouts.tables import ENDED, OPEN, UNANNOUNCED, SeenRow, StepRow, UnitRow, WaitingRow

SEEN: Table = SeenRow.__table__  # type: ignore[assignment]
UNITS: Table = UnitRow.__table__  # type: ignore[assignment]
WAITING: Table = WaitingRow.__table__  # type: ignore[assignment]

AT_A_TIME = 5000
"""Waiting rows that are read at once."""


def step_of(session: Session, model_name: str, rollout_id: str, step: int) -> StepRow | None:
    query = select(StepRow).where(
        StepRow.model_name == model_name, StepRow.rollout_id == rollout_id, StepRow.step == step
    )
    return session.scalars(query).first()


def new_step(session: Session, model_name: str, rollout_id: str, step: int, now: datetime) -> StepRow:
    row = StepRow(
        model_name=model_name,
        rollout_id=rollout_id,
        step=step,
        state=UNANNOUNCED,
        history=0,
        history_errors=0,
        recounting=False,
        unsent=False,
        created_at=now,
        pruned=False,
    )
    session.add(row)
    session.flush()
    return row


def live_steps(session: Session, model_name: str) -> list[StepRow]:
    """Return the steps that take rows and labels, announced or not."""
    query = select(StepRow).where(StepRow.model_name == model_name, StepRow.state.in_((OPEN, UNANNOUNCED)))
    return list(session.scalars(query.order_by(StepRow.key)))


def newest_revision(session: Session, model_name: str) -> int:
    return session.scalar(select(func.max(StepRow.revision)).where(StepRow.model_name == model_name)) or 0


def newest_steps(
    session: Session, model_name: str | None, limit: int, visible: Collection[str] | None = None
) -> list[StepRow]:
    """Return announced steps, newest first; `visible`: of these models only."""
    query = select(StepRow).where(StepRow.state != UNANNOUNCED).order_by(StepRow.key.desc()).limit(limit)
    if visible is not None:
        query = query.where(StepRow.model_name.in_(visible))
    return list(session.scalars(query if model_name is None else query.where(StepRow.model_name == model_name)))


def unseen(session: Session, step_key: int, rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Return the rows that were not counted yet, each once, in their order, and mark them as seen."""
    new = {row.key: row for row in rows}
    for keys in chunks(list(new)):
        query = select(SEEN.c.key).where(SEEN.c.step_key == step_key, SEEN.c.key.in_(keys))
        for key in session.scalars(query).all():
            del new[key]
    if new:
        session.execute(insert(SEEN), [{"step_key": step_key, "key": key} for key in new])
    return list(new.values())


def units(session: Session, step_key: int, wanted: Iterable[int | None]) -> dict[int, tuple[int, int]]:
    """Return the bits of `assigned` and `labelled` of the units that are known."""
    found: dict[int, tuple[int, int]] = {}
    for some in chunks(list({unit for unit in wanted if unit is not None})):
        query = select(UNITS.c.unit, UNITS.c.assigned, UNITS.c.labelled)
        for unit, assigned, labelled in session.execute(
            query.where(UNITS.c.step_key == step_key, UNITS.c.unit.in_(some))
        ):
            found[unit] = (assigned, labelled)
    return found


def save_units(
    session: Session, step_key: int, known: dict[int, tuple[int, int]], now: dict[int, tuple[int, int]]
) -> None:
    """Write the units that differ from what is `known`."""
    new = [unit for unit in now if unit not in known]
    if new:
        rows = [
            {"step_key": step_key, "unit": unit, "assigned": now[unit][0], "labelled": now[unit][1]} for unit in new
        ]
        session.execute(insert(UNITS), rows)
    changed = [unit for unit, bits in known.items() if now.get(unit, bits) != bits]
    if changed:
        statement = (
            update(UNITS)
            .where(UNITS.c.step_key == step_key, UNITS.c.unit == bindparam("of"))
            .values(assigned=bindparam("to_assigned"), labelled=bindparam("to_labelled"))
        )
        session.connection().execute(
            statement, [{"of": unit, "to_assigned": now[unit][0], "to_labelled": now[unit][1]} for unit in changed]
        )


def save_waiting(session: Session, step_key: int, rows: Sequence[tuple[TrialRow, int | None]]) -> None:
    """Store rows, each with the arms that it will give a value of."""
    if rows:
        session.execute(insert(WAITING), [to_columns(row, step_key, arm) for row, arm in rows])


def unannounced(session: Session, step_key: int) -> list[TrialRow]:
    """Return rows that came before their step was announced, the first ones, and delete them."""
    query = select(WAITING).where(WAITING.c.step_key == step_key, WAITING.c.arm.is_(None)).order_by(WAITING.c.key)
    found = [from_columns(row) for row in session.execute(query.limit(AT_A_TIME))]
    forget(session, step_key, [row.key for row in found])
    return found


def due(session: Session, step_key: int, before: datetime) -> list[tuple[TrialRow, int]]:
    """Return rows with a label that were made until `before`, oldest first, each with its arms."""
    query = select(WAITING).where(
        WAITING.c.step_key == step_key,
        WAITING.c.label.is_not(None),
        WAITING.c.made_at <= before,
        WAITING.c.arm.is_not(None),
    )
    found = session.execute(query.order_by(WAITING.c.made_at, WAITING.c.key).limit(AT_A_TIME))
    return [(from_columns(row), row.arm) for row in found]


def is_due(session: Session, step_key: int, before: datetime) -> bool:
    query = select(WAITING.c.key).where(
        WAITING.c.step_key == step_key,
        WAITING.c.label.is_not(None),
        WAITING.c.made_at <= before,
        WAITING.c.arm.is_not(None),
    )
    return session.scalars(query.limit(1)).first() is not None


def forget(session: Session, step_key: int, keys: Iterable[int]) -> None:
    for some in chunks(list(keys)):
        session.execute(delete(WAITING).where(WAITING.c.step_key == step_key, WAITING.c.key.in_(some)))


def forget_units(session: Session, step_key: int, arm: int, with_value: Iterable[int]) -> None:
    """Delete waiting rows of units that have their value."""
    for some in chunks(list(with_value)):
        session.execute(
            delete(WAITING).where(WAITING.c.step_key == step_key, WAITING.c.unit.in_(some), WAITING.c.arm == arm)
        )


def unlabelled(session: Session, step_key: int, column: Any, values: Iterable[int]) -> list[Any]:
    """Return key, unit, event_time and made_at of rows without label whose `column` is one of `values`."""
    found: list[Any] = []
    for some in chunks(list(values)):
        query = select(WAITING.c.key, WAITING.c.unit, WAITING.c.event_time, WAITING.c.made_at)
        found += session.execute(
            query.where(WAITING.c.step_key == step_key, WAITING.c.label.is_(None), column.in_(some))
        ).all()
    return found


def write_labels(session: Session, step_key: int, labels: dict[int, str]) -> None:
    """`labels`: by key."""
    if labels:
        statement = (
            update(WAITING)
            .where(WAITING.c.step_key == step_key, WAITING.c.key == bindparam("of"))
            .values(label=bindparam("given"))
        )
        session.connection().execute(statement, [{"of": key, "given": label} for key, label in labels.items()])


def forgettable(
    session: Session, ended_before: datetime, unannounced_before: datetime, kept: int
) -> list[tuple[str, int]]:
    """Return model and key of steps to prune: ended ones, those that were never announced, those beyond the newest."""
    ended = (StepRow.state == ENDED) & ~StepRow.pruned & (StepRow.ended_at < ended_before)
    nobodys = (StepRow.state == UNANNOUNCED) & (StepRow.created_at < unannounced_before)
    query = select(StepRow.model_name, StepRow.key)
    found = [(model_name, key) for model_name, key in session.execute(query.where(ended | nobodys))]
    for model_name in session.scalars(select(StepRow.model_name).group_by(StepRow.model_name)).all():
        # The highest revision stays: it tells a RolloutChanged that comes again.
        of_model = query.where(StepRow.model_name == model_name, StepRow.pruned)
        old = of_model.order_by(StepRow.revision.desc()).offset(kept)
        found += [(name, key) for name, key in session.execute(old)]
    return found


def prune_some(session: Session, key: int) -> bool:
    """Delete some of what is left of a step that has ended or was never announced; return whether more is left."""
    step = session.get(StepRow, key)
    if step is None or step.state == OPEN:
        return False
    for table, column in ((WAITING, WAITING.c.key), (SEEN, SEEN.c.key), (UNITS, UNITS.c.unit)):
        found = list(session.scalars(select(column).where(table.c.step_key == key).limit(AT_A_TIME)))
        for some in chunks(found):
            session.execute(delete(table).where(table.c.step_key == key, column.in_(some)))
        if found:
            return True
    if step.state == UNANNOUNCED or step.pruned:
        session.delete(step)
    else:
        step.pruned = True
    return False
