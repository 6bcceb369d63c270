"""Every event: its topic, its fields, who publishes it and who reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from docs.generate.markdown import code, page, paragraph, sentence, table
from docs.generate.types import models_in, type_of
from fastapi import FastAPI
from pydantic import BaseModel

from chassis.asyncapi import emitted_by, received_by
from chassis.topics import COMPACTED, topic_specs
from contracts import EVENTS, Event

INTRODUCTION = """
Events are CloudEvents 1.0 in binary mode: the attributes are Kafka headers (`ce_id`, `ce_source`, `ce_type`,
`ce_time`, `ce_correlationid`, `ce_causationid`), the value is the JSON of the fields below, the key is the model's
name. Events that are marked *signed* have one header more, `ce_dssematerial`, where the gatekeeper has a signing key
([how](../adr/0028-signed-decisions.md)). Events that are marked *headers optional* may be published with key and value
alone. Services also read
structured mode (`application/cloudevents+json`, data as JSON, as a string of JSON, or in `data_base64`), and take a
null for a field that need not be there as left out. **Every record needs its key**: without it order cannot be kept,
and Kafka refuses a record without a key on a compacted topic with error 87 (INVALID_RECORD), which aiokafka shows as
`UnknownError`, confluent-kafka as `Broker failed to validate record`, and after which an idempotent producer of
kafka-python fails every later record with the same error: close that producer and create another one. On other topics
a record without a key becomes a dead letter. `TOPIC_PREFIX` precedes each topic. The JSON Schemas are in
`contracts/src/contracts/schemas/`, the AsyncAPI documents in [asyncapi](../asyncapi).
"""


def events_page(services: Mapping[str, FastAPI]) -> str:
    return page("Events", "contracts", INTRODUCTION, [_overview(services), *map(_event, EVENTS), _values()])


def _overview(services: Mapping[str, FastAPI]) -> str:
    emitters = {name: emitted_by(app) for name, app in services.items()}
    readers = {name: received_by(app) for name, app in services.items()}
    rows = [
        (
            f"[{event.__name__}](#{event.__name__.lower()})",
            code(event.topic),
            ", ".join(name for name, found in emitters.items() if event in found) or "any client",
            ", ".join(name for name, found in readers.items() if event in found) or "any client",
        )
        for event in EVENTS
    ]
    return table(("Event", "Topic", "Published by", "Read by"), rows)


def _event(event: type[Event]) -> str:
    facts = [f"Type `{event.type}`, topic `{event.topic}`{_compacted(event.topic)}"]
    if event.headers_optional:
        facts.append("headers optional")
    if event.signed:
        facts.append("signed")
    text = paragraph(f"{sentence(event.__doc__)} {'; '.join(facts)}.")
    return f"## {event.__name__}\n\n{text}\n\n{_fields(event)}"


def _compacted(topic: str) -> str:
    spec = next(spec for spec in topic_specs() if spec.name == topic)
    return " (compacted)" if COMPACTED.items() <= spec.config.items() else ""


def _values() -> str:
    found = dict.fromkeys(
        model for event in EVENTS for model in _reachable(event) if not issubclass(model, Event)
    )  # in the order in which events name them
    parts = [f"### {model.__name__}\n\n{paragraph(sentence(model.__doc__))}\n\n{_fields(model)}" for model in found]
    return "\n\n".join(["## Values in events", *parts])


def _reachable(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for part in models_in(field.annotation):
            yield part
            yield from _reachable(part)


def _fields(model: type[BaseModel]) -> str:
    rows = [
        (code(name), type_of(field), "yes" if field.is_required() else "", field.description or "")
        for name, field in model.model_fields.items()
    ]
    return table(("Field", "Type", "Required", "Description"), rows)
