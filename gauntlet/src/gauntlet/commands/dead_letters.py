"""`gauntlet dead-letters`: list, show, replay and discard events that a service gave up on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json, KafkaServers
from gauntlet.output import console, notes, print_json, print_listing, shortened

if TYPE_CHECKING:
    from contracts.dead_letters import DeadLetter
    from gauntlet.broker import Broker

app = typer.Typer(no_args_is_help=True, help="Messages that a service could not handle, and the way back.")

ServiceFilter = Annotated[str | None, typer.Option("--service", help="Only letters of this service.")]
TopicFilter = Annotated[str | None, typer.Option("--topic", help="Only letters of this topic (without prefix).")]
LetterId = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it: service:topic:partition:offset.")]


@app.command("list")
def list_letters(
    service: ServiceFilter = None,
    topic: TopicFilter = None,
    as_json: Json = False,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the dead letters, oldest first."""
    _, letters = _open(kafka, data_dir)
    rows = [_fields(letter) for letter in letters.values() if _matches(letter, service, topic)]
    print_listing(
        rows if as_json else [{**row, "error": shortened(row["error"])} for row in rows],
        {"id": "id", "when": "when", "key": "key", "bytes": "bytes", "attempts": "attempts", "error": "error"},
        as_json=as_json,
        empty="no dead letters",
    )


@app.command()
def show(
    letter_id: LetterId,
    as_json: Json = False,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one letter: the error, and the original key, headers and value."""
    _, letters = _open(kafka, data_dir)
    letter = _find(letters, letter_id)
    headers = {name: _text_or_hex(value) for name, value in letter.headers}
    if as_json:
        print_json({**_fields(letter), "headers": headers, "value": _text_or_hex(letter.value)})
        return
    out = console()
    for heading, value in _fields(letter).items():
        out.print(f"{heading:<10} {'–' if value is None else value}", markup=False, soft_wrap=True)
    out.print("headers")
    for name, content in headers.items():
        out.print(f"  {name}: {'–' if content is None else content}", markup=False, soft_wrap=True)
    out.print("value")
    out.print("–" if letter.value is None else str(_text_or_hex(letter.value)), markup=False, soft_wrap=True)


@app.command()
def replay(
    letter_id: Annotated[str | None, typer.Argument(metavar="ID", help="The letter; or --all.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters, oldest first.")] = False,
    service: ServiceFilter = None,
    topic: TopicFilter = None,
    value: Annotated[
        Path | None,
        typer.Option("--value", exists=True, dir_okay=False, readable=True, help="Send this file's bytes instead."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Send this key instead, for a letter that had none.")] = None,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Publish the original again, to its topic, with its key and headers, and take the letter away.

    Every service that reads the topic receives it; those that have handled the event before ignore it.
    """
    if (letter_id is None) != everything:
        raise CliError("name one letter by its ID, or all of them with --all", "See: gauntlet dead-letters list")
    if letter_id is not None and (service or topic):
        raise CliError("--service and --topic choose among letters with --all; an ID names one already")
    if everything and (value is not None or key is not None):
        raise CliError("--value and --key change one letter; name it by its ID instead of --all")
    broker, letters = _open(kafka, data_dir)
    chosen = [_find(letters, letter_id)] if letter_id else [x for x in letters.values() if _matches(x, service, topic)]
    changes: dict[str, Any] = {}
    if value is not None:
        changes["value"] = value.read_bytes()
    if key is not None:
        changes["key"] = key.encode()
    for letter in chosen:
        _send_again(broker, replace(letter, **changes))
        console().print(f"replayed {letter.id}", markup=False)
    if not chosen:
        console().print("no dead letters")


@app.command()
def discard(
    letter_id: LetterId,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Take a letter away without sending it again. Its bytes are gone for good once the topic is compacted."""
    from chassis.topics import DEAD_LETTERS

    broker, letters = _open(kafka, data_dir)
    letter = _find(letters, letter_id)
    broker.send([(DEAD_LETTERS, *letter.tombstone, [])])
    console().print(f"discarded {letter.id}", markup=False)


def _send_again(broker: Broker, letter: DeadLetter) -> None:
    from chassis.topics import DEAD_LETTERS

    broker.send([letter.original, (DEAD_LETTERS, *letter.tombstone, [])])


def _open(kafka: str | None, data_dir: Path) -> tuple[Broker, dict[str, DeadLetter]]:
    """Return the letters by id, oldest first, without duplicates and those removed by a tombstone."""
    from chassis.topics import DEAD_LETTERS
    from contracts.dead_letters import DeadLetter
    from gauntlet.broker import Broker

    broker = Broker(data_dir, kafka)
    letters: dict[bytes | None, DeadLetter] = {}
    for received in broker.read_whole(DEAD_LETTERS):
        record = received.record
        letters.pop(record.key, None)
        if record.value is None:
            continue
        try:
            letter = DeadLetter.decode(record.value, [(name, value or b"") for name, value in record.headers])
        except (KeyError, ValueError) as error:
            where = f"{DEAD_LETTERS}:{received.partition}:{received.offset}"
            notes().print(f"{where} is no dead letter of ours and is left alone ({error!r})", markup=False)
            continue
        letters[record.key] = letter
    return broker, {letter.id: letter for letter in sorted(letters.values(), key=lambda letter: letter.time)}


def _find(letters: dict[str, DeadLetter], letter_id: str) -> DeadLetter:
    letter = letters.get(letter_id)
    if letter is None:
        there = f"there are {len(letters)}" if letters else "there are none"
        raise CliError(f"no dead letter {letter_id!r}; {there}", "See: gauntlet dead-letters list")
    return letter


def _matches(letter: DeadLetter, service: str | None, topic: str | None) -> bool:
    return service in (None, letter.service) and topic in (None, letter.topic)


def _fields(letter: DeadLetter) -> dict[str, Any]:
    when: datetime = letter.time
    return {
        "id": letter.id,
        "service": letter.service,
        "topic": letter.topic,
        "when": when.astimezone().isoformat(timespec="seconds"),
        "key": _text_or_hex(letter.key),
        "bytes": None if letter.value is None else len(letter.value),
        "attempts": letter.attempts,
        "error": letter.error,
    }


def _text_or_hex(content: bytes | None) -> str | None:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"hex:{content.hex()}"
