"""What a replica believes, with trusted keys: decisions that are signed, complete, and newer than any it has verified.

The follower has verified the signature. Here a decision is compared with the newest verified one of its type and model,
by what is signed of both (`chassis.signing.precedence`), and refused when it is older. That one is kept on disk, so the
comparison survives a restart.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Gauge

from chassis.errors import Malformed, Transient
from chassis.follower import Follower, RefusedRecord
from chassis.settings import ServiceSettings
from chassis.signing.dsse import NotVerified, Why
from chassis.signing.event_signature import verify_event
from chassis.signing.key_folder import KeyFolder
from chassis.signing.precedence import Place, place_of, unbound
from chassis.telemetry import get_logger
from contracts import Envelope, Event, Promoted, RolloutChanged
from contracts.cloudevents import Record, decode
from serving.decisions.record import DecisionRecord, Kept

MODELS_KEPT, REFUSALS_SHOWN = 1_000, 10
"""Models of which the last refusal is kept; anybody who can write to a topic may invent more."""

BEHIND = Gauge(
    "gauntlet_serving_topic_behind",
    "Models of which the topic's newest decision is older than one that this replica has verified",
    multiprocess_mode="livemax",
)

log = get_logger(__name__)

ModelTopic = tuple[str, str]


class VerifiedDecisions:
    """A Part, between the keys and the follower: at its start it passes on the kept decisions.

    Used on the event loop only.
    """

    name = "decisions"

    def __init__(
        self,
        keys: KeyFolder,
        record: DecisionRecord,
        events: Sequence[type[Event]],
        on_event: Callable[[Envelope[Any]], None],
        max_event_bytes: int,
    ) -> None:
        self._keys = keys
        self._record = record
        self._topics = {event.topic: event for event in events}
        self._on_event = on_event
        self._max_event_bytes = max_event_bytes
        self._newest: dict[ModelTopic, Place] = {}
        self._unkept: dict[ModelTopic, Kept] = {}
        """Verified, and not on disk yet: of what was there, only the newest is worth a write."""
        self._wrong: dict[ModelTopic, str] = {}
        """Of models whose last record on the topic, as far as it has been read, is not the newest verified decision."""
        self._is_live = False
        self._problem: str | None = None
        self._count = 0
        self._refused: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def start(self) -> None:
        """Believe what is kept, if its signature is still one of a trusted key."""
        try:
            kept = await asyncio.to_thread(self._record.read, self._topics)
        except Transient as error:
            self._say(f"{error}. What was verified before the restart is not known; remove the file to begin a new one")
            return
        doubtful = []
        for each in kept:
            try:
                verify_event(each.record, self._keys)
                envelope = decode(each.record, self._max_event_bytes)
            except (NotVerified, Malformed) as error:
                log.error("kept decision not believed", model_name=each.model_name, reason=str(error))
                doubtful.append(each)
                continue
            about = (each.record.topic, envelope.model_name)
            self._newest[about] = place_of(envelope)
            self._wrong[about] = "the topic has no record of it any more"
            self._on_event(envelope)
        if doubtful:  # otherwise nothing that is older would be kept in their place
            await self._write(self._record.forget, doubtful)

    async def stop(self) -> None:
        return None

    async def admit(self, record: Record, envelope: Envelope[Any]) -> bool:
        """Return whether a verified decision is passed on; raise NotVerified for one that is refused.

        Older ones that were on the topic before are no fault: compaction has not removed them yet. Only the last record
        of a model shows whether the topic went back, see `on_caught_up`.
        """
        if (reason := unbound(envelope)) is not None:
            raise NotVerified(reason, Why.INCOMPLETE)
        about, place = (record.topic, envelope.model_name), place_of(envelope)
        newest = self._newest.get(about)
        if newest is not None and place < newest:
            reason = f"{_told(envelope, place)} is older than {_told(envelope, newest)}, which was verified before"
            self._note(about, reason)
            if self._is_live:
                raise NotVerified(reason, Why.REPLAYED)
            return False
        self._note(about, None)
        if newest is None or place > newest:
            self._newest[about] = place
            self._unkept[about] = Kept(envelope.model_name, place, record)
            if self._is_live:
                await self._keep()
        return True

    @property
    def parts(self) -> tuple[KeyFolder, VerifiedDecisions]:
        return self._keys, self

    def follower(self, settings: ServiceSettings) -> Follower:
        """Return a follower that passes on what is believed.

        It reads its topics again when other keys are trusted: what a new key signed may have come before it.
        """
        follower = Follower(
            settings,
            events=tuple(self._topics.values()),
            on_event=self._on_event,
            keys=self._keys,
            on_refused=self.on_refused,
            admit=self.admit,
            on_caught_up=self.on_caught_up,
        )

        def read_again() -> None:
            self._is_live = False
            follower.read_again()

        self._keys.on_change(read_again)
        return follower

    async def on_caught_up(self) -> None:
        await self._keep()
        self._is_live = True
        BEHIND.set(len(self._wrong))
        for (topic, model_name), reason in self._wrong.items():
            said = "the topic went back, the newest verified decision stays in force"
            log.error(said, topic=topic, model_name=model_name, reason=reason)

    def on_refused(self, refused: RefusedRecord) -> None:
        self._count += 1
        name = refused.model_name[:200]
        before = self._refused.pop(name, None)
        self._refused[name] = {
            "count": before["count"] + 1 if before else 1,
            "why": refused.why.value,
            "reason": refused.reason[:500],
            "topic": refused.record.topic,
            "time": datetime.now(UTC).isoformat(),
        }
        if len(self._refused) > MODELS_KEPT:
            self._refused.popitem(last=False)
        about = (refused.record.topic, refused.model_name)
        if about in self._newest and refused.why is not Why.REPLAYED:
            self._note(about, f"its last record there is not believed: {refused.reason[:200]}")

    def about(self, model_name: str) -> dict[str, Any]:
        """Return what /models shows of a model: its last refusal, and where its topic went back."""
        return {"refused": self._refused.get(model_name), "topic_behind": self._behind().get(model_name)}

    def details(self) -> dict[str, Any]:
        """Return what /ready shows."""
        last = [{"model_name": name, **about} for name, about in reversed(self._refused.items())][:REFUSALS_SHOWN]
        return {
            **self._keys.details(),
            "refused": self._count,
            "last_refused": last,
            "topic_behind": self._behind(),
            "record": {"file": str(self._record.path), "problem": self._problem},
        }

    def _behind(self) -> dict[str, dict[str, str]]:
        """Return the reasons by model and topic; nothing while it is being read."""
        found: dict[str, dict[str, str]] = {}
        for (topic, model_name), reason in self._wrong.items() if self._is_live else ():
            found.setdefault(model_name, {})[topic] = reason
        return found

    def _note(self, about: ModelTopic, reason: str | None) -> None:
        if reason is None:
            self._wrong.pop(about, None)
        else:
            self._wrong[about] = reason
        if self._is_live:
            BEHIND.set(len(self._wrong))

    async def _keep(self) -> None:
        kept, self._unkept = list(self._unkept.values()), {}
        if kept:
            await self._write(self._record.keep, kept)

    async def _write(self, write: Callable[[Sequence[Kept]], None], kept: Sequence[Kept]) -> None:
        """A decision that cannot be kept is believed: only the protection after a restart is missing."""
        try:
            await asyncio.to_thread(write, kept)
        except Transient as error:
            self._say(f"{error}. After a restart an older decision could be believed")
        else:
            self._problem = None

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log.error("verified decisions are not kept", problem=problem)
        self._problem = problem


def _told(envelope: Envelope[Any], place: Place) -> str:
    when = datetime.fromtimestamp(place.time / 1e6, UTC).isoformat()
    names: dict[type[Event], str] = {Promoted: "epoch", RolloutChanged: "revision"}
    name = names.get(type(envelope.data))
    return f"{name} {place.number} of {when}" if name else f"the one of {when}"
