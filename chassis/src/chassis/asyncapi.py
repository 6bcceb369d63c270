"""Generate AsyncAPI documents from the events that a service's parts receive and emit.

Usage: `python -m chassis.asyncapi SERVICE...`.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from faststream.kafka import KafkaBroker, Topic
from faststream.specification import AsyncAPI

from contracts import Event

FOLDER = Path("docs/asyncapi")
SIGNED = " With a signing key, the header ce_dssematerial holds its signature: CloudEvents' DSSE extension, in base64."


def document(service: str) -> str:
    """Return the AsyncAPI 3 document of a service as YAML."""
    app = build_service(service)
    return describe(service, received_by(app), emitted_by(app))


def build_service(service: str, **settings: Any) -> FastAPI:
    """Build a service as its main() does, with default settings overridden by `settings`, without starting it.

    So no connection is made. A part declares the events it reads and writes in `receives` and `emits`, tuples of event
    types.
    """
    with tempfile.TemporaryDirectory() as folder:
        chosen = importlib.import_module(f"{service}.settings").Settings(_env_file=None, data_dir=folder, **settings)
        app: FastAPI = importlib.import_module(f"{service}.app").build(chosen)
    return app


def received_by(app: FastAPI) -> list[type[Event]]:
    return _unique(event for part in app.state.parts for event in getattr(part, "receives", ()))


def emitted_by(app: FastAPI) -> list[type[Event]]:
    return _unique(event for part in app.state.parts for event in getattr(part, "emits", ()))


def describe(service: str, received: Iterable[type[Event]], emitted: Iterable[type[Event]]) -> str:
    broker = KafkaBroker("kafka:9092", apply_types=False)
    for event in received:
        broker.subscriber(Topic(event.topic, declare=False), title=f"Receive{event.__name__}")(_handler(event))
    for event in emitted:
        title = f"Emit{event.__name__}"
        description = f"{event.__doc__}{SIGNED if event.signed else ''}"
        broker.publisher(Topic(event.topic, declare=False), schema=event, title=title, description=description)
    text = AsyncAPI(broker, title=f"Gauntlet {service}", version="1").to_specification().to_yaml()
    return yaml.safe_dump(yaml.safe_load(text), sort_keys=True)  # FastStream's order differs between runs


def _handler(event: type[Event]) -> Any:
    async def handle(data: Any) -> None:
        """A stub for the specification; never called."""

    handle.__annotations__["data"] = event
    handle.__doc__ = event.__doc__
    return handle


def _unique(events: Iterable[type[Event]]) -> list[type[Event]]:
    return sorted(set(events), key=lambda event: event.__name__)


def main(services: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for service in services:
        (FOLDER / f"{service}.yaml").write_text(document(service))


if __name__ == "__main__":
    main(sys.argv[1:])
