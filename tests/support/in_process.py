"""A serving replica in this process: its ASGI application with real models, and no Kafka and no MLflow behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from chassis.follower import Follower
from chassis.policy_store import PolicyStore
from contracts import new_envelope
from contracts.cloudevents import Encoded
from serving.app import build
from serving.handlers import on_promoted
from serving.loading.reconciler import ModelReconciler
from serving.publishing.feedback import FeedbackPublisher, Tally
from serving.publishing.predictions import PredictionPublisher
from serving.publishing.status import StatusPublisher
from serving.settings import Settings
from support.versions import Version, save

NOBODY = "127.0.0.1:9"

LOCALHOST = (b"host", b"localhost")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class InProcess:
    """Use as a context; `models` are estimators with the options of `support.versions.save`, by name."""

    def __init__(self, folder: Path, models: dict[str, tuple[Any, dict[str, Any]]], **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self._settings = Settings(
            _env_file=None,
            kafka_bootstrap_servers=NOBODY,
            mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db",
            data_dir=folder,
            allowed_uri_prefixes=folder.as_uri(),
            flush_seconds=0,
            **settings,
        )
        self._versions = [
            Version(name, 1, str(folder / name), save(estimator, folder / name, **options))
            for name, (estimator, options) in models.items()
        ]

    def __enter__(self) -> InProcess:
        self._runner.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._stop())
        self._runner.close()

    def send(self, *requests: tuple[str, str, Sequence[tuple[bytes, bytes]], Sequence[bytes]]) -> list[Answer]:
        """Method, path, headers and body, in as many pieces as it shall arrive in; all at the same time."""

        async def whole() -> list[Answer]:
            return await asyncio.gather(*(self._one(*request) for request in requests))

        return self._runner.run(whole())

    @property
    def policies(self) -> PolicyStore:
        return self._parts[PolicyStore]

    async def _one(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], pieces: Sequence[bytes]
    ) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [*([] if any(name == b"host" for name, _ in headers) else [LOCALHOST]), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        arriving = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
            for number, piece in enumerate(pieces or [b""])
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return arriving.pop(0) if arriving else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app.state.entry(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], dict(sent[0]["headers"]), body)

    async def _start(self) -> None:
        self._app = build(self._settings)
        self._parts = {type(part): part for part in self._app.state.parts}
        _acknowledge(self._parts[FeedbackPublisher])
        for sender in (PredictionPublisher, StatusPublisher):
            await self._parts[sender].start()
        self._parts[Follower].caught_up.set()
        reconciler: ModelReconciler = self._parts[ModelReconciler]
        for version in self._versions:
            on_promoted(reconciler, new_envelope(version.promoted(1), source="test"))
        await _until(lambda: all(state.active is not None for state in reconciler.states()))

    async def _stop(self) -> None:
        await self._parts[ModelReconciler].stop()
        for sender in (PredictionPublisher, StatusPublisher):
            await self._parts[sender].stop()


def _acknowledge(feedback_publisher: FeedbackPublisher) -> None:
    """Stands for a broker that takes everything at once."""

    async def deliver(topic: str, events: Sequence[Encoded]) -> Tally:
        return Tally(0, acknowledged=len(events))

    feedback_publisher.deliver = deliver  # type: ignore[method-assign]


async def _until(probe: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not probe():  # noqa: ASYNC110  # the state of another task, polled
            await asyncio.sleep(0.01)
