"""Writes cloudevents-sdk.json: Kafka messages of every way that the Python SDK of CloudEvents has.

Run it where the SDK is installed; it is no dependency of ours: `uv run --no-project --with cloudevents==2.2.0 FILE`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v03.event import CloudEvent as CloudEvent03
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import kafka as kafka_v1
from cloudevents.v1.http import CloudEvent as CloudEventV1

DATA = {"model_name": "churn", "model_version": 3, "metrics": {"roc_auc": 0.8}}
TEXT = json.dumps(DATA)
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
BASE = {"id": "7", "source": "/crm", "type": "gauntlet.ModelRegistered.v1", "specversion": "1.0", "time": WHEN}
JSON = {"datacontenttype": "application/json"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
INDIA = timezone(timedelta(hours=5, minutes=30))

EVENTS = {
    "object": CloudEvent({**BASE}, DATA),
    "object, JSON": CloudEvent({**BASE, **JSON, "subject": "churn"}, DATA),
    "object, zone": CloudEvent({**BASE, **JSON, "time": WHEN.astimezone(INDIA)}, DATA),
    "bytes": CloudEvent({**BASE, **JSON}, TEXT.encode()),
    "text": CloudEvent({**BASE, **JSON}, TEXT),
    "text, plain": CloudEvent({**BASE, "datacontenttype": "text/plain"}, TEXT),
    "bytes, octets": CloudEvent({**BASE, "datacontenttype": "application/octet-stream"}, TEXT.encode()),
    "extensions": CloudEvent({**BASE, **JSON, "traceparent": TRACE, "correlationid": "c1"}, DATA),
    "0.3": CloudEvent03({**BASE, **JSON, "specversion": "0.3"}, DATA),
}
OLD = {**BASE, "time": WHEN.isoformat()}
EVENTS_V1 = {
    "object": CloudEventV1({**OLD, **JSON}, DATA),
    "object, no content type": CloudEventV1({**OLD}, DATA),
    "text": CloudEventV1({**OLD}, TEXT),
    "bytes": CloudEventV1({**OLD}, TEXT.encode()),
}


def message(name: str, made: Any) -> dict[str, Any]:
    return {"name": name, "headers": {key: value.decode() for key, value in made.headers.items()}, "value": text(made)}


def text(made: Any) -> str:
    return made.value if isinstance(made.value, str) else made.value.decode()


def main() -> None:
    found = []
    for name, event in EVENTS.items():
        found.append(message(f"{name}, binary", kafka.to_binary(event, JSONFormat())))
        found.append(message(f"{name}, structured", kafka.to_structured(event, JSONFormat())))
    for name, event in EVENTS_V1.items():
        found.append(message(f"1.x {name}, structured", kafka_v1.to_structured(event)))
    found.append(message("1.x object, binary", kafka_v1.to_binary(EVENTS_V1["object"])))
    made = {"made by": f"{Path(__file__).name}, cloudevents {version('cloudevents')}", "messages": found}
    Path(__file__).with_name("cloudevents-sdk.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
