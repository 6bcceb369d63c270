"""Receivers of notifications, and the parts of a gatekeeper that send them, on a database of the test's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from chassis.database import Database
from contracts import DriftDetected, DriftKind, DriftWindow, Event, FeatureScore, new_envelope
from gatekeeper.database import event_log
from gatekeeper.notifications.channels import Channels
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.notifications.planner import Planner
from gatekeeper.notifications.sender import Sender

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
PUBLIC_URL = "https://gauntlet.example"


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed(self, key: bytes = KEY) -> bool:
        """As a receiver verifies it: https://github.com/standard-webhooks/standard-webhooks, written anew here."""
        signed = b".".join((self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return any(hmac.compare_digest(wanted, each) for each in self.headers["webhook-signature"].split())


@dataclass
class Receiver:
    """A server on this machine; `status` by path, default 200. A path in `hangs` gets no reply before `release`."""

    port: int = 0
    status: dict[str, int] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    received: list[Received] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    location: str = "/elsewhere"

    def at(self, path: str) -> list[Received]:
        return [each for each in list(self.received) if each.path == path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            if self.path in receiver.hangs:
                receiver.release.wait(60)
            status = receiver.status.get(self.path, 200)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """The sender has hung up on a request that hangs."""

    server = Server(("127.0.0.1", port), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def drift(
    number: int = 1, *, model_name: str = "flights", ratio: float = 2.0, reason: str = "it drifted"
) -> DriftDetected:
    """`ratio`: by how much the score of its one column is above the limit."""
    at = datetime(2026, 6, 1, tzinfo=UTC)
    return DriftDetected(
        model_name=model_name,
        model_version=3,
        kind=DriftKind.DATA,
        window=DriftWindow(id=f"w{number}", rows=1000, start=at, end=at),
        drift_share=0.5,
        scores=(FeatureScore(feature="temp", method="psi", score=0.1 * ratio, limit=0.1, drifted=ratio >= 1),),
        reason=reason,
    )


@cache
def _migrated() -> bytes:
    """A file of SQLite with all tables: to make them takes a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        database = Database(f"sqlite:///{path}")
        database.migrate("gatekeeper")
        database.close()
        return path.read_bytes()


class Notifying:
    """A database with the log of events, a file of subscriptions, and parts that run while the context is open."""

    def __init__(self, url: str, folder: Path) -> None:
        self.database = Database(url)
        if self.database.is_sqlite:
            Path(str(self.database.url.database)).write_bytes(_migrated())
        else:
            self.database.migrate("gatekeeper")
        self.folder = folder
        self.path = folder / "notifications.yaml"
        (folder / "secret").write_text(SECRET)

    def write(self, targets: dict[str, Any], *subscriptions: dict[str, Any]) -> None:
        """A target is what the file holds, or the URL of a webhook."""
        secret = {"file": "secret"}
        full = {
            name: {"webhook": each, "secret": secret} if isinstance(each, str) else each
            for name, each in targets.items()
        }
        named = [{"name": f"s{number}", "severity": "info", **each} for number, each in enumerate(subscriptions)]
        self.path.write_text(yaml.safe_dump({"targets": full, "subscriptions": named}))

    def emit(self, *events: Event, time: datetime | None = None, event_id: str | None = None) -> None:
        with self.database.transaction() as session:
            for event in events:
                event_log.add(session, new_envelope(event, source="test", time=time, event_id=event_id))

    def planner(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Planner:
        """One that has begun: events from now on are told."""
        planner = Planner(self.database, NotificationsFile(self.path), clock=clock)
        planner.once()
        return planner

    @contextmanager
    def sending(
        self, timeout: float = 10, *, margin: float = 20, owner: str = "one", planning: bool = False
    ) -> Iterator[Sender]:
        """A sender on a loop in a thread of its own; `planning`: with a planner that runs."""
        file = NotificationsFile(self.path)
        parts: list[Any] = []

        async def start() -> Sender:
            sender = Sender(
                self.database,
                file,
                Channels(file, timeout),
                owner=owner,
                public_url=PUBLIC_URL,
                timeout=timeout,
                margin=timedelta(seconds=margin),
            )
            parts.append(sender)
            if planning:
                parts.append(Planner(self.database, file, sender.wake))
            for part in parts:
                await part.start()
            return sender

        async def stop() -> None:
            for part in reversed(parts):
                await part.stop()

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def close(self) -> None:
        self.database.close()
