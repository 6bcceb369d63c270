"""The live feed: while somebody listens, one look at the database a quarter of a second serves all listeners.

A listener holds what it has not sent yet as a set of models and types: a slow reader gets fewer messages, not a queue.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from chassis.auth.access import Caller
from chassis.background import Background
from chassis.database import Database
from chassis.errors import Transient
from chassis.http import Problem
from chassis.telemetry import get_logger
from gatekeeper.database.changes import ANY, EVERYTHING, Change, Changes, since

EVERY_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0
STALLED_SECONDS = 60.0
"""A reader that takes nothing for so long is dropped."""
LOOKS_PER_ADMISSION = 4
"""After so many looks, it is verified again that each listener may listen."""
MOST_NAMED = 100
"""Models in one message; beyond, it says that every model may have changed."""
MOST_STREAMS = 500
MOST_OF_A_CALLER = 50

log = get_logger(__name__)


@dataclass(eq=False)
class Listener:
    """One open stream. `known`: returns the caller as they are known now, None once their token is not valid.

    `after`: when the page was made, or the stream before ended; what changed since is still to be found.
    """

    caller: Caller
    known: Callable[[], Caller | None]
    after: datetime | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    models: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    ended: bool = False

    def add(self, changes: Sequence[Change]) -> None:
        """Note what the caller may know of."""
        for change in changes:
            if change.model_name == ANY or self.caller.sees(change.model_name):
                self.models.add(change.model_name)
                self.types.add(change.type)
        if len(self.models) > MOST_NAMED:
            self.models = {ANY}
        if self.models:
            self.news.set()

    def take(self) -> str:
        """Return the message of all that was noted, and forget it. Its id is the time from which a next one begins."""
        body = json.dumps({"models": sorted(self.models), "types": sorted(self.types)}, separators=(",", ":"))
        self.models, self.types = set(), set()
        self.news.clear()
        return f"id: {datetime.now(UTC).isoformat()}\nevent: change\ndata: {body}\n\n"

    def end(self) -> None:
        self.ended = True
        self.news.set()

    def holds(self) -> bool:
        """Whether the caller's token is still valid, and what they may do still the same."""
        known = self.known()
        return known is not None and known.rules is self.caller.rules and known.identity == self.caller.identity


class LiveFeed(Background):
    """A Part. Streams end when the service begins to stop, and when their token no longer holds as it did."""

    name = "live"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[Listener] = set()
        self._wanted = asyncio.Event()
        self._ending = False

    def __len__(self) -> int:
        return len(self._listeners)

    def open(self, listener: Listener) -> None:
        """Add a listener, until it is closed. Raises Problem 429 or 503."""
        caller = listener.caller
        if self._task is None or self._ending:
            raise Problem(503, "no live updates", "the gatekeeper starts or stops; load the page again in a moment")
        if len(self._listeners) >= MOST_STREAMS:
            detail = f"{MOST_STREAMS} pages are open already; close some, or load this one again by hand"
            raise Problem(503, "too many open pages", detail, headers={"Retry-After": "60"})
        own = Counter(each.caller.identity.subject for each in self._listeners)[caller.identity.subject]
        if caller.authenticated and own >= MOST_OF_A_CALLER:
            detail = f"{own} pages of {caller.identity.subject} are open already; close some"
            raise Problem(429, "too many open pages", detail, headers={"Retry-After": "60"})
        self._listeners.add(listener)
        self._wanted.set()

    def close(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            self._wanted.clear()

    def end_streams(self) -> None:
        """End all, and open none: the service stops, and must not wait for open pages."""
        self._ending = True
        for listener in self._listeners:
            listener.end()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            changes, looks = Changes(), 0
            while self._listeners:
                fresh = {each: each.after for each in self._listeners if each.after is not None}
                try:
                    found, missed = await asyncio.to_thread(self._look, changes, fresh)
                except Transient as error:
                    log.warning("live updates wait", error=str(error))
                    await asyncio.sleep(1)
                    continue
                except Exception:  # whatever it was, the next look must follow
                    log.exception("live updates failed")
                    changes, found, missed = Changes(), [EVERYTHING], {}
                for listener in self._listeners:
                    listener.add(found)
                for listener, older in missed.items():
                    listener.after = None
                    listener.add(older)
                looks += 1
                if looks % LOOKS_PER_ADMISSION == 0:
                    for listener in self._listeners:
                        if not listener.holds():
                            listener.end()
                await asyncio.sleep(EVERY_SECONDS)

    def _look(
        self, changes: Changes, fresh: Mapping[Listener, datetime]
    ) -> tuple[list[Change], dict[Listener, list[Change]]]:
        """Look, and then at what the fresh listeners have missed: nothing falls between the two."""
        with self._database.reading() as session:
            now = datetime.now(UTC)
            found = changes.look(session, now)
            return found, {listener: since(session, after, now) for listener, after in fresh.items()}


class LiveStream(StreamingResponse):
    """The messages of a listener as server-sent events, until it ends or its reader is gone or stands still.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    media_type = "text/event-stream"

    def __init__(self, feed: LiveFeed, listener: Listener) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
        super().__init__(_messages(listener), headers=headers)
        self._feed = feed
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def limited(message: Message) -> None:
            async with asyncio.timeout(STALLED_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, limited)
        except TimeoutError:
            log.info("an open page that takes nothing is dropped", subject=self._listener.caller.identity.subject)
        finally:
            self._feed.close(self._listener)


async def _messages(listener: Listener) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    while not listener.ended:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await listener.news.wait()
        except TimeoutError:
            yield ": open\n\n"
            continue
        if listener.models:
            yield listener.take()
