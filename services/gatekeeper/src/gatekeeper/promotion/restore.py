"""Restore promotions that the `promoted` topic has and this database lacks, before anything else is consumed.

docs/adr/0005 lists what a wiped or older database must not do; docs/adr/0023, what becomes of rollouts; docs/adr/0028,
what is believed where keys are configured.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Transient
from chassis.follower import Follower, RefusedRecord
from chassis.settings import ServiceSettings
from chassis.signing.dsse import NotVerified
from chassis.signing.event_signature import verify_event
from chassis.signing.precedence import Place, microseconds, place_of
from chassis.telemetry import get_logger
from contracts import Envelope, Promoted, RolloutChanged
from contracts.cloudevents import Record
from gatekeeper.database import queries, refused_records
from gatekeeper.database.job_kinds import MANIFEST
from gatekeeper.database.recorder import ACTOR, Recorder
from gatekeeper.database.tables import PromotionRow
from gatekeeper.promotion.topic_guard import LastRecord, TopicGuard
from gatekeeper.rollout import restore as rollout
from gatekeeper.signing import Signing
from gatekeeper.telemetry import REPEATED, after_commit

RETRY_SECONDS = 1.0
REFUSED_AT_START = 1000
"""Refused records of the history that are looked at; all are counted and logged."""

log = get_logger(__name__)


class Restoration:
    """A Part. `start` returns when the topic has been read to its end and adopted; it then follows the topic."""

    name = "restoration"

    def __init__(self, settings: ServiceSettings, database: Database, recorder: Recorder, signing: Signing) -> None:
        self._settings = settings
        self._database = database
        self._recorder = recorder
        self._signing = signing
        self._guard = TopicGuard(database, recorder)
        self._follower: Follower | None = None
        self.needs = self._new_follower().needs
        self._read: list[Envelope[Promoted | RolloutChanged]] = []
        self._refused: list[RefusedRecord] = []
        self._by_us = True
        self.done = False

    async def start(self) -> None:
        """Read and adopt the topic. Raises Transient when the broker or the database is unavailable."""
        self._read, self._refused = [], []
        self._follower = follower = self._new_follower()
        await follower.start()
        try:
            await follower.caught_up.wait()
            known = await asyncio.to_thread(self._known_models)
            await asyncio.to_thread(self._adopt_history, known)
            while self._read or self._refused:  # what arrived meanwhile
                await asyncio.to_thread(self._adopt_history, set())
        except BaseException:
            await follower.stop()
            raise
        self.done = True
        await self._guard.start()

    def _new_follower(self) -> Follower:
        return Follower(
            self._settings,
            [Promoted, RolloutChanged],
            self._on_event,
            keys=self._signing.trusted,
            on_refused=self._on_refused,
            admit=self._look_who_signed,
        )

    async def stop(self) -> None:
        await self._guard.stop()
        if self._follower is not None:
            await self._follower.stop()

    def check(self) -> None:
        """Raise Transient until everything is adopted."""
        if not self.done:
            raise Transient("still reading the history of promotions")

    async def _on_event(self, envelope: Envelope[Promoted | RolloutChanged]) -> None:
        event = envelope.data
        number = place_of(envelope).number
        by_us = self._by_us
        if not self.done:
            self._read.append(envelope)
            # Signed with the key of now, so that no reader needs a former key for what is in force.
            self._guard.note(event.topic, event.model_name, LastRecord(envelope.id, number, by_us))
            return
        await self._adopted(envelope)
        signed = by_us or self._signing.trusted is not None
        self._guard.saw(event.topic, event.model_name, LastRecord(envelope.id, number, signed))

    async def _adopted(self, envelope: Envelope[Promoted | RolloutChanged]) -> None:
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

    async def _on_refused(self, refused: RefusedRecord) -> None:
        topic = refused.record.topic
        if not self.done:
            self._guard.note(topic, refused.model_name, LastRecord())
            if len(self._refused) < REFUSED_AT_START:
                self._refused.append(refused)
            return
        self._guard.saw(topic, refused.model_name, LastRecord())
        try:
            await asyncio.to_thread(self._audit, refused)
        except Exception:  # it is still on the topic at the next start
            log.exception("not audited", topic=topic, partition=refused.partition, offset=refused.offset)

    def _audit(self, refused: RefusedRecord) -> None:
        """Audit a record that was not believed, once, unless it is of this database and of before it was signed."""
        if self._signing.trusted is None:
            return
        with self._database.reading() as session:
            if refused_records.is_known(session, refused) or refused_records.is_audited(session, refused):
                return
        with self._database.transaction() as session:
            refused_records.add(session, refused)

    def _look_who_signed(self, record: Record, _envelope: Envelope[Any]) -> bool:
        """Note whether the event that follows has a signature of the key that signs here; it has without a key."""
        self._by_us = True
        if self._signing.own is not None:
            try:
                verify_event(record, self._signing.own)
            except NotVerified:
                self._by_us = False
        return True

    def _known_models(self) -> set[str]:
        with self._database.reading() as session:
            return queries.model_names(session)

    def _adopt_history(self, known: set[str]) -> None:
        """Adopt what was read, and compare it with what is known of these models."""
        read, refused = self._read, self._refused
        self._read, self._refused = [], []
        by_model: dict[str, list[Envelope[Promoted]]] = defaultdict(list)
        changes: dict[str, list[Envelope[RolloutChanged]]] = defaultdict(list)
        for envelope in read:
            if isinstance(envelope.data, Promoted):
                by_model[envelope.model_name].append(envelope)
            elif _is_storable(envelope):
                changes[envelope.model_name].append(envelope)
        for model_name in sorted(by_model.keys() | changes.keys() | known):
            with self._database.transaction() as session:
                self._adopt(session, model_name, by_model[model_name])
                self._repeat_what_is_lost(session, model_name)
                overwritten = self._is_overwritten(model_name, changes[model_name])
                rollout.adopt(session, self._recorder, model_name, changes[model_name], overwritten=overwritten)
        for each in refused:
            self._audit(each)

    def _adopt_one(self, envelope: Envelope[Promoted | RolloutChanged]) -> None:
        if isinstance(envelope.data, RolloutChanged):
            self._adopt_change(envelope)
            return
        with self._database.reading() as session:
            current = queries.champion(session, envelope.model_name)
            if current is not None and not self._supersedes(envelope, current):
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
        storable = [item for item in envelopes if _is_storable(item)]
        if self._signing.trusted is not None:
            storable.sort(key=place_of)  # an earlier one may have been written to the topic again
        last = {item.data.epoch: item for item in storable}
        newer = {epoch: item for epoch, item in last.items() if current is None or self._supersedes(item, current)}
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

    def _repeat_what_is_lost(self, session: Session, model_name: str) -> None:
        """Republish the newest epoch unless it is the model's last record: compaction keeps only the last record."""
        current = queries.champion(session, model_name)
        last = self._guard.last(Promoted.topic, model_name)
        if current is None or (last is not None and last.signed and last.event_id == current.event_id):
            return
        log.warning("the topic does not end with the newest promotion", model_name=model_name, epoch=current.epoch)
        self._recorder.republish(session, current)
        after_commit(session, lambda: REPEATED.labels(Promoted.topic).inc())

    def _is_overwritten(self, model_name: str, seen: Sequence[Envelope[RolloutChanged]]) -> bool:
        last = self._guard.last(RolloutChanged.topic, model_name)
        return last is not None and (not last.signed or not seen or last.event_id != seen[-1].id)

    def _supersedes(self, envelope: Envelope[Promoted], current: PromotionRow) -> bool:
        """Return whether a record of the topic replaces our newest promotion.

        A higher epoch does, and another promotion with the same epoch: compaction keeps the last record of a model, so
        a replica, or a database that is restored, will know only that one. With keys it must have been decided later:
        who may write to the topic can write again what was once signed.
        """
        epoch = envelope.data.epoch
        if epoch != current.epoch or envelope.id == current.event_id:
            return epoch > current.epoch
        if self._signing.trusted is None:
            return True
        return place_of(envelope) > Place(current.epoch, microseconds(current.promoted_at), current.event_id)


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
