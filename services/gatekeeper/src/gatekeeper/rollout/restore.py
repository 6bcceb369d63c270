"""Bring the `rollouts` topic and this database to one state: no version is tried without a rollout (docs/adr/0023)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from chassis.telemetry import get_logger
from contracts import Envelope, Mode, Result, RolloutChanged, Stage
from gatekeeper.database import queries, rollouts
from gatekeeper.database.recorder import ACTOR, Recorder
from gatekeeper.rollout.next_action import superseded_by_champion

log = get_logger(__name__)


def is_in_force(session: Session, model_name: str, event_id: str | None, revision: int) -> bool | None:
    """Return whether a record is the newest change of the model; None where this database has nothing to repeat."""
    model, row = queries.model(session, model_name), rollouts.last_changed(session, model_name)
    if model is None or row is None or row.event_id is None or row.revision < model.rollout_revision:
        return None
    return event_id is not None and (event_id == row.event_id or revision > model.rollout_revision)


def is_news(session: Session, envelope: Envelope[RolloutChanged]) -> bool:
    """Return whether a record of the topic was not written with this database."""
    model = queries.model(session, envelope.model_name)
    return model is None or envelope.data.revision > model.rollout_revision


def adopt(
    session: Session,
    recorder: Recorder,
    model_name: str,
    seen: Sequence[Envelope[RolloutChanged]],
    *,
    overwritten: bool = False,
) -> None:
    """Compare the records of a model, in their order on the topic, with what this database knows.

    A rollout that is on the topic only, or further there than here, ends with a higher revision: what was measured and
    approved is not known here. What the topic has lost is published again. `overwritten`: its last record is none of
    `seen`, or has no signature of the key that signs now.
    """
    model = queries.lock(session, model_name)
    row, newest = rollouts.running(session, model_name), _in_force(seen)
    revision = newest.data.revision if newest else 0
    ahead = revision > model.rollout_revision
    model.rollout_revision = max(model.rollout_revision, revision)
    if row is not None and (superseded := superseded_by_champion(session, row)) is not None:
        recorder.rollouts.end(session, row, Result.SUPERSEDED, superseded.reason)
    elif row is not None and ahead:
        reason = f"the topic of rollouts is at revision {revision}, this database was at {row.revision}"
        recorder.rollouts.end(session, row, Result.SUPERSEDED, reason)
    elif ahead and newest is not None and newest.data.stage is not Stage.ENDED:
        _end_unknown(session, recorder, newest.data)
    elif ahead and newest is not None and (overwritten or seen[-1] is not newest):
        recorder.rollouts.emit(session, newest.data, event_id=newest.id)  # compaction keeps the last record only
    elif not ahead and (overwritten or not seen or seen[-1].data.revision < model.rollout_revision):
        last = rollouts.last_changed(session, model_name)
        if newest is not None and revision == model.rollout_revision and (last is None or last.revision < revision):
            recorder.rollouts.emit(session, newest.data, event_id=newest.id)  # one that another database decided
        else:
            repeat(session, recorder, model_name)


def _in_force(seen: Sequence[Envelope[RolloutChanged]]) -> Envelope[RolloutChanged] | None:
    return max(reversed(seen), key=lambda each: each.data.revision, default=None)


def _end_unknown(session: Session, recorder: Recorder, event: RolloutChanged) -> None:
    model = queries.lock(session, event.model_name)
    model.rollout_revision += 1
    reason = "this gatekeeper's database does not have it: it was restored, or is another one"
    changes = {
        "revision": model.rollout_revision,
        "stage": Stage.ENDED,
        "mode": Mode.OFF,
        "share": 0.0,
        "result": Result.SUPERSEDED,
        "actor": ACTOR,
        "reason": reason,
    }
    envelope = recorder.rollouts.emit(session, event.model_copy(update=changes))
    log.warning("rollout ended: it is not in this database", model_name=event.model_name, rollout_id=event.rollout_id)
    queries.add_audit(
        session,
        "rollout superseded",
        event.model_name,
        event.tried.model_version,
        actor=ACTOR,
        reason=reason,
        evidence={"rollout_id": event.rollout_id, "revision": model.rollout_revision, "event_id": envelope.id},
    )


def repeat(session: Session, recorder: Recorder, model_name: str) -> None:
    """Publish the newest change that this database knows again under its id."""
    row = rollouts.last_changed(session, model_name)
    if row is not None and row.event_id is not None:
        log.warning("the topic lacks the newest change of a rollout", model_name=model_name, revision=row.revision)
        recorder.rollouts.emit(session, rollouts.changed_event(row), row, row.event_id)
