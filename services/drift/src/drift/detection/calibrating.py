"""The limits of a version: read, or calibrated when there are none, or more past windows."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from contracts import Harm, Outcome
from contracts.drift_settings import FORMER_SHARE, Drift
from drift.database.store import insert_into
from drift.database.tables import LimitsRow, PastWindowRow, VersionRow, WindowRow
from drift.policy.limits import MOST_WINDOWS, stage, windows_kept
from drift.policy.windows import MINIMUM_ROWS
from drift.scoring import sketches
from drift.scoring.calibration import Calibration, blocks_of, calibrated
from drift.scoring.scores import Reference
from drift.scoring.summaries import Summary


class Known(NamedTuple):
    """What the database knows for the calibration of a window's limits, so that it takes no connection."""

    kept: Calibration | None
    past: list[dict[str, Summary]]
    expected: frozenset[str]
    """Columns that an earlier window had, or the model has."""


def known_of(session: Session, window: WindowRow, version: VersionRow, rules: Drift) -> Known:
    """Read the version's limits for windows of this size, and the past windows if these allow better ones."""
    keys = _past_keys(session, window)
    share = rules.budget.share
    kept = session.get(LimitsRow, (window.model_name, window.model_version, window.rows))
    found = Calibration.read(kept.limits) if kept else None
    if found is not None and (found.share != share or found.share_rule["share"] != _fixed(rules)):
        found = None  # the policy has changed
    # Limits from blocks of the reference are replaced only by enough windows of production.
    at = stage(len(keys), share)
    if found is not None and (at <= found.considered if not found.blocks else at < found.considered):
        return Known(found, [], _expected(session, window, version))
    newest = sorted(keys[: windows_kept(share)])
    rows = session.scalars(
        select(PastWindowRow).where(PastWindowRow.window_key.in_(newest)).order_by(PastWindowRow.window_key)
    )
    return Known(None, [sketches.loads(row.sketches) for row in rows], _expected(session, window, version))


def limits_of(window: WindowRow, reference: Reference, known: Known, rules: Drift) -> Calibration:
    """Return the limits for the window; calibrating takes about a second, and needs no database."""
    if known.kept is not None:
        return known.kept
    seconds = (window.end - window.start).total_seconds() if window.start and window.end else 0.0
    blocks = blocks_of(reference, seconds, MINIMUM_ROWS)
    return calibrated(reference, window.rows, rules.budget.share, known.past, blocks, _fixed(rules))


def keep(session: Session, window: WindowRow, calibration: Calibration, now: datetime) -> datetime:
    """Store limits if they were calibrated for this window; return when they were calibrated."""
    key = (window.model_name, window.model_version, window.rows)
    kept, document = session.get(LimitsRow, key), calibration.document()
    if kept is None:
        kept = LimitsRow(model_name=key[0], model_version=key[1], rows=key[2], calibrated_at=now, limits=document)
        session.add(kept)
    elif kept.limits != document:
        kept.calibrated_at, kept.limits = now, document
    return kept.calibrated_at


def remember(session: Session, window: WindowRow, summaries: dict[str, Summary]) -> None:
    """Store a judged window as sketches, and delete those that no limits need any more."""
    values = {
        "window_key": window.key,
        "model_name": window.model_name,
        "rows": window.rows,
        "start": window.start,
        "sketches": sketches.dumps(summaries),
    }
    session.execute(insert_into(session, PastWindowRow).values(values).on_conflict_do_nothing())
    of_size = select(PastWindowRow.window_key).where(
        PastWindowRow.model_name == window.model_name, PastWindowRow.rows == window.rows
    )
    old = session.scalars(of_size.order_by(PastWindowRow.window_key.desc()).offset(MOST_WINDOWS)).all()
    session.execute(delete(PastWindowRow).where(PastWindowRow.window_key.in_(old)))


def _past_keys(session: Session, window: WindowRow) -> list[int]:
    """Return the past windows of this size without those of a confirmed drift, or before it; newest first.

    Confirmed: the performance has dropped, or the drift is estimated to be harmful. Ordinary windows that were judged
    as drift stay: without them the limits would be those of the calmest windows.
    """
    of_model = WindowRow.model_name == window.model_name
    dropped = session.scalar(
        select(func.max(WindowRow.key)).where(of_model, WindowRow.performance_outcome == Outcome.FAILED)
    )
    harms = select(WindowRow.key, WindowRow.harm, WindowRow.data_event_id).where(of_model, WindowRow.harm.is_not(None))
    harmful = {
        key: event_id for key, harm, event_id in session.execute(harms) if (harm or {}).get("harm") == Harm.HARMFUL
    }
    since = max((dropped or 0, *(key for key, event_id in harmful.items() if event_id is not None)))
    query = select(PastWindowRow.window_key).where(
        PastWindowRow.model_name == window.model_name,
        PastWindowRow.rows == window.rows,
        PastWindowRow.window_key > since,
        PastWindowRow.window_key != window.key,
    )
    keys = session.scalars(query.order_by(PastWindowRow.window_key.desc()))
    return [key for key in keys if key not in harmful]


def _expected(session: Session, window: WindowRow, version: VersionRow) -> frozenset[str]:
    newest = session.scalars(
        select(PastWindowRow)
        .where(PastWindowRow.model_name == window.model_name)
        .order_by(PastWindowRow.window_key.desc())
        .limit(1)
    ).first()
    before = sketches.loads(newest.sketches) if newest else {}
    return frozenset(before) | frozenset(version.importance or {})


def _fixed(rules: Drift) -> float:
    return FORMER_SHARE if rules.drift_share is None else rules.drift_share
