"""`gauntlet events tail` and `events export`: the services' events, live or in a file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from gauntlet.commands.topic_records import export
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json, KafkaServers, count
from gauntlet.output import console, notes

if TYPE_CHECKING:
    from gauntlet.broker import Following, Received

app = typer.Typer(no_args_is_help=True, help="The events on the bus.")

app.command()(export)

STYLES = {
    "Promoted": "bold green",
    "GatePassed": "green",
    "GateFailed": "yellow",
    "DriftDetected": "magenta",
    "ApprovalGiven": "green",
    "ApprovalRefused": "yellow",
}


@app.command()
def tail(
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only this type, such as Promoted; may be given again."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only events of this model.")] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with what Kafka still has, in the order of time.")
    ] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", parser=count, help="End after so many events.")] = None,
    as_json: Json = False,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Follow the bus, one line an event, until Ctrl-C.

    Predictions, ground truth and measures of rollouts, of which there are many, are shown only with --type.
    """
    from gauntlet.broker import Broker, Following
    from gauntlet.event_lines import topics_of

    topics, names = topics_of(types or [])
    broker = Broker(data_dir, kafka)
    with Following(broker, topics, from_beginning=from_beginning) as following:
        if following.missing:
            notes().print(f"not there yet, so not followed: {', '.join(following.missing)}")
        notes().print(f"following {', '.join(topics)} at {broker.address.at}; Ctrl-C ends", style="dim", soft_wrap=True)
        events = (_read(received, broker.settings.max_event_bytes) for received in _all(following, from_beginning))
        chosen = (event for event in events if event is not None and _is_wanted(event, names, model))
        with suppress(KeyboardInterrupt):
            for event in itertools.islice(chosen, limit):
                _print(event, as_json)


def _all(following: Following, from_beginning: bool) -> Iterator[Received]:
    if from_beginning:
        yield from _in_time(following)
    yield from following.news()


def _in_time(following: Following) -> Iterable[Received]:
    """Sort history, which comes partition by partition; streams are too long to be sorted."""
    from gauntlet.event_lines import TOO_MANY

    streams = {event.topic for event in TOO_MANY}
    held: list[Received] = []
    for received in following.history():
        if received.record.topic in streams:
            yield received
        else:
            held.append(received)
    yield from sorted(held, key=lambda received: received.record.timestamp or 0)


def _read(received: Received, max_bytes: int) -> dict[str, Any] | None:
    """Return the event as a mapping, with `error` instead of `data` when it cannot be read; None for a tombstone."""
    from chassis.errors import Malformed
    from chassis.topics import DEAD_LETTERS
    from contracts.cloudevents import decode
    from contracts.dead_letters import DeadLetter
    from contracts.event_summaries import summary
    from gauntlet.event_lines import DEAD_LETTER, letter_summary

    record = received.record
    at = {"topic": record.topic, "partition": received.partition, "offset": received.offset}
    unreadable = {
        "type": None,
        "time": datetime.fromtimestamp((record.timestamp or 0) / 1000, UTC),
        "model_name": (record.key or b"").decode(errors="replace"),
        "value": (record.value or b"")[:200].decode(errors="backslashreplace"),
    }
    if record.topic == DEAD_LETTERS:
        if record.value is None:
            return None
        try:
            letter = DeadLetter.decode(record.value, [(name, value or b"") for name, value in record.headers])
        except (KeyError, ValueError) as error:
            return {**at, **unreadable, "error": f"no dead letter: {error!r}"}
        return {
            **at,
            "type": DEAD_LETTER,
            "time": letter.time,
            "model_name": (letter.key or b"").decode(errors="replace"),
            "id": letter.id,
            "summary": letter_summary(letter),
        }
    try:
        envelope = decode(record, max_bytes)
    except Malformed as error:
        return {**at, **unreadable, "error": str(error)}
    return {
        **at,
        "type": type(envelope.data).__name__,
        "time": envelope.time,
        "model_name": envelope.model_name,
        "model_version": getattr(envelope.data, "model_version", None),
        "id": envelope.id,
        "source": envelope.source,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "data": envelope.data.model_dump(mode="json"),
        "summary": summary(envelope.data),
    }


def _is_wanted(event: dict[str, Any], names: set[str], model: str | None) -> bool:
    """Filter events; one that cannot be read may be of any type, so it always passes."""
    return (model is None or event["model_name"] == model) and ("error" in event or event["type"] in names)


def _print(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(event | {"time": event["time"].isoformat()}, ensure_ascii=False), flush=True)
        return
    time = event["time"].astimezone().strftime("%H:%M:%S.%f")[:-3]
    version = f" v{event['model_version']}" if event.get("model_version") else ""
    model = escape(f"{event['model_name'] or '–'}{version}")
    if "error" in event:
        what = f"[red]undecodable[/] {escape(event['topic'])}:{event['partition']}:{event['offset']} "
        console().print(f"[dim]{time}[/] {what}{model} {escape(event['error'])}", soft_wrap=True)
        return
    style = STYLES.get(event["type"], "red" if "Failed" in event["type"] or event["type"] == "DeadLetter" else "cyan")
    name = f"[{style}]{event['type']:<19}[/]"
    console().print(f"[dim]{time}[/] {name} {model}  {escape(event['summary'])}", soft_wrap=True)
