"""How long a model's labels take, as it is kept: a histogram per model, from which their maturity follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from drift.database.tables import FILLING, ModelRow, WindowRow
from drift.policy.maturity import QUANTILE, Delays, Maturity, maturity, with_delays

NEWEST = 100
"""Windows of which the share with labels is counted."""


def record(model: ModelRow, seconds: Sequence[float], now: datetime) -> None:
    """Add the delays of new labels; the model is locked."""
    if seconds:
        model.label_delays = with_delays(delays_of(model), seconds, now).model_dump(mode="json")


def delays_of(model: ModelRow) -> Delays | None:
    return Delays.model_validate(model.label_delays) if model.label_delays else None


def maturity_of(session: Session, model: ModelRow, of_policy: timedelta, setting: timedelta, now: datetime) -> Maturity:
    """Return the maturity of the model's labels."""
    delays = delays_of(model)
    estimate = delays.quantile(QUANTILE) if delays else None
    covered = None if estimate is None else _covered(session, model.model_name, now - estimate)
    return maturity(of_policy, setting, delays, covered, now)


def _covered(session: Session, model_name: str, closed_before: datetime) -> float | None:
    """Return the share of rows with a label, of the newest windows whose rows are older; None without such windows."""
    of_model = (WindowRow.model_name == model_name, WindowRow.state != FILLING, WindowRow.closed_at <= closed_before)
    newest = select(WindowRow.labelled, WindowRow.rows).where(*of_model).order_by(WindowRow.key.desc()).limit(NEWEST)
    each = newest.subquery()
    labelled, rows = session.execute(select(func.sum(each.c.labelled), func.sum(each.c.rows))).one()
    return labelled / rows if rows else None
