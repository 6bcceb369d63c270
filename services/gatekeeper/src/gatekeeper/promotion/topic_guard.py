"""Keeps the newest promotion and rollout of each model the last record of its topic: compaction keeps no other.

Who may write to the topic can write an unsigned record, an older signed one or a tombstone over it. Readers refuse
those; but a reader that starts after compaction would find nothing else. So the decision is published again.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy.orm import Session

from chassis.background import Background
from chassis.database import Database
from chassis.errors import Transient
from chassis.outbox import is_waiting
from chassis.telemetry import get_logger
from chassis.waiting import set_within
from contracts import RolloutChanged
from gatekeeper.database import queries
from gatekeeper.database.recorder import Recorder
from gatekeeper.policy.repetition import FIRST_SECONDS, counted, wait_before
from gatekeeper.rollout import restore as rollout
from gatekeeper.telemetry import OVERWRITTEN, REPEATED

log = get_logger(__name__)


@dataclass(frozen=True)
class LastRecord:
    """The last record of a model on a topic. `signed`: it needs no repetition for its signature's sake."""

    event_id: str | None = None
    """None: it is not believed, or no event."""
    number: int = 0
    """Epoch or revision."""
    signed: bool = False


class Found(Enum):
    """What a look at a model's last record found."""

    IN_FORCE = auto()
    REPEATED = auto()
    """Something else was the last record; what is in force was published again."""
    WAITS = auto()
    """Something of the model is about to be published, or the database is not available."""
    UNKNOWN = auto()
    """This database has nothing of the model."""


@dataclass
class Repeats:
    count: int = 0
    last: float = 0.0
    """Of `time.monotonic`."""


class TopicGuard(Background):
    """A Part. It is told of every record of the topics, and publishes what is in force again over any other."""

    name = "topic guard"

    def __init__(self, database: Database, recorder: Recorder) -> None:
        self._database = database
        self._recorder = recorder
        self._last: dict[tuple[str, str], LastRecord] = {}
        self._due: dict[tuple[str, str], float] = {}
        self._repeats: dict[tuple[str, str], Repeats] = {}
        self._overwritten: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()

    def note(self, topic: str, model_name: str, last: LastRecord) -> None:
        """Keep the last record of a model, without doing anything about it."""
        self._last[topic, model_name] = last

    def last(self, topic: str, model_name: str) -> LastRecord | None:
        """Return the last record of a model, None where the topic has none."""
        return self._last.get((topic, model_name))

    def saw(self, topic: str, model_name: str, last: LastRecord) -> None:
        """Keep the last record of a model, and soon make sure that it is the one in force."""
        key = topic, model_name
        self._last[key] = last
        if key not in self._due:
            repeats, now = self._repeats.get(key, Repeats()), time.monotonic()
            self._due[key] = now + wait_before(counted(repeats.count, now - repeats.last))
            self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            for key in [key for key, due in self._due.items() if due <= now]:
                await self._look_at(*key)
            soonest = min(self._due.values(), default=now + 3600)
            await set_within(self._wake, max(soonest - time.monotonic(), 0.01))

    async def _look_at(self, topic: str, model_name: str) -> None:
        key = topic, model_name
        try:
            found = await asyncio.to_thread(self._made_sure, topic, model_name, self._last[key])
        except Transient as error:
            log.warning("not published again yet", topic=topic, model_name=model_name, error=str(error))
            found = Found.WAITS
        except Exception:  # of one model; the others go on
            log.exception("not published again", topic=topic, model_name=model_name)
            found = Found.UNKNOWN
        now = time.monotonic()
        if found in (Found.IN_FORCE, Found.UNKNOWN):
            del self._due[key]
            self._overwritten.discard(key)
        elif found is Found.WAITS:
            self._due[key] = now + FIRST_SECONDS
        else:
            repeats = self._repeats.setdefault(key, Repeats())
            repeats.count, repeats.last = counted(repeats.count, now - repeats.last) + 1, now
            self._due[key] = now + wait_before(repeats.count)
            self._overwritten.add(key)
        if found is Found.UNKNOWN:
            self._last.pop(key, None)  # anybody can write names that no model has
        OVERWRITTEN.set(len({name for _, name in self._overwritten}))

    def _made_sure(self, topic: str, model_name: str, last: LastRecord) -> Found:
        """Publish what is in force again unless `last` is it. Raises Transient."""
        with self._database.reading() as session:
            if (found := self._found(session, topic, model_name, last)) is not Found.REPEATED:
                return found
        with self._database.transaction() as session:
            queries.lock(session, model_name)
            if (found := self._found(session, topic, model_name, last)) is not Found.REPEATED:
                return found
            if topic == RolloutChanged.topic:
                rollout.repeat(session, self._recorder, model_name)
            elif (current := queries.champion(session, model_name)) is not None:
                self._recorder.republish(session, current)
        REPEATED.labels(topic).inc()
        log.warning("published again: the topic did not end with it", topic=topic, model_name=model_name)
        return Found.REPEATED

    def _found(self, session: Session, topic: str, model_name: str, last: LastRecord) -> Found:
        if topic == RolloutChanged.topic:
            in_force = rollout.is_in_force(session, model_name, last.event_id, last.number)
        else:
            current = queries.champion(session, model_name)
            in_force = None if current is None else last.event_id == current.event_id
        if in_force is None:
            return Found.UNKNOWN
        if in_force and last.signed:
            return Found.IN_FORCE
        return Found.WAITS if is_waiting(session, topic, model_name) else Found.REPEATED
