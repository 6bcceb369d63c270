"""Restore promotions that the `promoted` topic has and this database lacks, before anything else is consumed.

docs/adr/0005 lists what a wiped or older database must not do; docs/adr/0023, what becomes of rollouts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Transient
from chassis.follower import Follower
from chassis.settings import ServiceSettings
from chassis.telemetry import get_logger
from contracts import Envelope, Promoted, RolloutChanged
from gatekeeper.database import queries
from gatekeeper.database.job_kinds import MANIFEST
from gatekeeper.database.recorder import ACTOR, Recorder
from gatekeeper.database.tables import PromotionRow
from gatekeeper.rollout import restore as rollout

RETRY_SECONDS = 1.0

log = get_logger(__name__)


class Restoration:
    """A Part. `start` returns when the topic has been read to its end and adopted; it then follows the topic."""

    name = "restoration"

    def __init__(self, settings: ServiceSettings, database: Database, recorder: Recorder) -> None:
        self._settings = settings
        self._database = database
        self._recorder = recorder
        self._follower: Follower | None = None
        self._read: list[Envelope[Promoted | RolloutChanged]] = []
        self.done = False

    async def start(self) -> None:
        """Read and adopt the topic. Raises Transient when the broker or the database is unavailable."""
        self._read = []
        follower = Follower(self._settings, [Promoted, RolloutChanged], self._on_event)
        await follower.start()
        try:
            await follower.caught_up.wait()
            await asyncio.to_thread(self._adopt_history)
        except BaseException:
            await follower.stop()
            raise
        self._follower = follower
        self.done = True

    async def stop(self) -> None:
        if self._follower is not None:
            await self._follower.stop()

    def check(self) -> None:
        """Raise Transient until everything is adopted."""
        if not self.done:
            raise Transient("still reading the history of promotions")

    async def _on_event(self, envelope: Envelope[Promoted | RolloutChanged]) -> None:
        if not self.done:
            self._read.append(envelope)
            return
        while True:
            try:
                await asyncio.to_thread(self._adopt_one, envelope)
                return
            except Transient as error:
                log.warning("not adopted yet", type=envelope.type, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # the follower must continue: the next record may be valid
                log.exception("not adopted", type=envelope.type, model_name=envelope.model_name, event_id=envelope.id)
                return

    def _adopt_history(self) -> None:
        by_model: dict[str, list[Envelope[Promoted]]] = defaultdict(list)
        changes: dict[str, list[Envelope[RolloutChanged]]] = defaultdict(list)
        for envelope in self._read:
            if isinstance(envelope.data, Promoted):
                by_model[envelope.model_name].append(envelope)
            elif _is_storable(envelope):
                changes[envelope.model_name].append(envelope)
        with self._database.reading() as session:
            known = queries.model_names(session)
        for model_name in sorted(by_model.keys() | changes.keys() | known):
            with self._database.transaction() as session:
                self._adopt(session, model_name, by_model[model_name])
                self._repeat_what_is_lost(session, model_name, by_model[model_name])
                rollout.adopt(session, self._recorder, model_name, changes[model_name])
        self._read = []

    def _adopt_one(self, envelope: Envelope[Promoted | RolloutChanged]) -> None:
        if isinstance(envelope.data, RolloutChanged):
            self._adopt_change(envelope)
            return
        with self._database.reading() as session:
            current = queries.champion(session, envelope.model_name)
            if current is not None and not _supersedes(envelope, current):
                return
        with self._database.transaction() as session:
            self._adopt(session, envelope.model_name, [envelope])

    def _adopt_change(self, envelope: Envelope[RolloutChanged]) -> None:
        with self._database.reading() as session:
            if not _is_storable(envelope) or not rollout.is_news(session, envelope):
                return
        with self._database.transaction() as session:
            rollout.adopt(session, self._recorder, envelope.model_name, [envelope])

    def _adopt(self, session: Session, model_name: str, envelopes: Sequence[Envelope[Promoted]]) -> None:
        """Adopt every epoch above our own, and ours where a later record has it, too: see `_supersedes`."""
        queries.lock(session, model_name)
        current = queries.champion(session, model_name)
        own = current.epoch if current else 0
        last = {item.data.epoch: item for item in envelopes if _is_storable(item)}
        newer = {epoch: item for epoch, item in last.items() if current is None or _supersedes(item, current)}
        if not newer:
            return
        gated = None
        if current is not None and own in newer:
            gated = current.gated_candidate  # it stays promoted once, though by an epoch that another took
            session.delete(current)
            session.flush()
        for epoch in sorted(newer):
            candidate = gated if epoch == own else None
            queries.add_promotion(session, newer[epoch], restored=True, gated_candidate=candidate)
        newest = newer[max(newer)]
        log.warning("promotions restored from the topic", model_name=model_name, epochs=sorted(newer))
        queries.add_audit(
            session,
            "restored",
            model_name,
            newest.data.model_version,
            actor=ACTOR,
            reason=_why(newest, current),
            evidence={"epochs": sorted(newer), "event_id": newest.id, "cause": newest.data.cause.value},
            correlation_id=newest.correlation_id,
        )
        session.flush()
        self._recorder.mirror(session, model_name, newest.data.model_version, None)
        payload = {"epoch": newest.data.epoch}
        self._recorder.jobs.enqueue(session, kind=MANIFEST, key=model_name, payload=payload, cause=newest)

    def _repeat_what_is_lost(self, session: Session, model_name: str, seen: Sequence[Envelope[Any]]) -> None:
        """Republish the newest epoch unless it is the model's last record: compaction keeps only the last record."""
        current = queries.champion(session, model_name)
        if current is None or (seen and seen[-1].data.epoch == current.epoch):  # then `_adopt` took it over
            return
        log.warning("the topic lacks the newest promotion", model_name=model_name, epoch=current.epoch)
        event = Promoted.model_validate(current.event)
        self._recorder.republish(session, current.event_id, event)


def _supersedes(envelope: Envelope[Promoted], current: PromotionRow) -> bool:
    """Return whether a record of the topic replaces our newest promotion.

    A higher epoch does, and another promotion with the same epoch: compaction keeps the last record of a model, so a
    replica, or a database that is restored, will know only that one.
    """
    epoch = envelope.data.epoch
    return epoch > current.epoch or (epoch == current.epoch and envelope.id != current.event_id)


def _why(newest: Envelope[Promoted], replaced: PromotionRow | None) -> str:
    own = replaced.epoch if replaced else 0
    if replaced is None or newest.data.epoch > own:
        return f"the promoted topic is at epoch {newest.data.epoch}, this database was at {own}"
    what = f"v{newest.data.model_version} (event {newest.id}) and v{replaced.model_version} (event {replaced.event_id})"
    return f"{what} were both promoted with epoch {own}; the later record of the promoted topic is in force"


def _is_storable(envelope: Envelope[Any]) -> bool:
    """Can the database store it? An event that it cannot store must not prevent the service from starting."""
    event = envelope.data
    storable = "\\u0000" not in envelope.model_dump_json()
    if not storable:
        log.error("ignored: it cannot be ours", type=event.type, model_name=event.model_name, event_id=envelope.id)
    return storable
