"""`gauntlet verify-topic` and `gauntlet events export`: the records of a topic, verified or written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json, KafkaServers
from gauntlet.output import console, notes, print_json, print_table

if TYPE_CHECKING:
    from gauntlet.topic_verification import ModelReport, Place, Report

MOST_SHOWN = 100


def verify(
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="NAME", help="This topic only; may be given again. Default: all signed ones."),
    ] = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option(
            "--keys",
            metavar="DIR",
            file_okay=False,
            help="Folder of trusted public keys; may be given again. Default: keys in the data directory.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", dir_okay=False, help="A file that `events export` wrote; no broker."),
    ] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Only the last record of each model: what compaction keeps.")
    ] = False,
    as_json: Json = False,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Verify the signatures of decisions on their topics, or in a file: exit 1 when one is missing or wrong.

    Also shown: lower epochs and revisions after higher ones, and missing ones, which compaction explains.
    """
    from chassis.errors import Permanent
    from chassis.signing.keys import TrustedKeys, read_public_key
    from gauntlet.endpoints import stack_settings
    from gauntlet.topic_verification import examine, newest_of

    paths = [path for folder in keys or [data_dir / "keys"] for path in sorted(folder.glob("*.pem"))]
    if not paths:
        where = ", ".join(str(folder) for folder in keys or [data_dir / "keys"])
        raise CliError(f"no public key (*.pem) in {where}", "Name a folder of trusted keys with --keys.")
    try:
        trusted = TrustedKeys(read_public_key(path) for path in paths)
    except Permanent as error:
        raise CliError(str(error), "Only public keys may be in the folders of --keys as *.pem.") from error
    places = _of_file(file, topics) if file is not None else _of_broker(_known(topics), kafka, data_dir)
    report = examine(newest_of(places) if newest else places, trusted, stack_settings().max_event_bytes)
    if as_json:
        print_json({"good": report.is_good, "keys": trusted.ids, **asdict(report)})
    else:
        _show(report)
    raise typer.Exit(0 if report.is_good else 1)


def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Where to write.")],
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="NAME", help="This topic; may be given again. Default: all signed ones."),
    ] = None,
    kafka: KafkaServers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write the records of topics to a file, byte for byte, one JSON object a line: for `verify-topic --from`."""
    import json

    from chassis.record_files import to_line

    places = _of_broker(_known(topics), kafka, data_dir)
    with output.open("w") as file:
        for place in places:
            at = {"partition": place.partition, "offset": place.offset}
            file.write(json.dumps({**json.loads(to_line(place.record)), **at}, separators=(",", ":")) + "\n")
    notes().print(f"{len(places):,} records in {output}", markup=False, soft_wrap=True)


def _known(topics: Sequence[str] | None) -> list[str]:
    from contracts import EVENTS

    signed = list(dict.fromkeys(event.topic for event in EVENTS if event.signed))
    for topic in topics or ():
        if topic not in signed:
            raise CliError(f"nothing on topic {topic!r} is signed", f"Signed are those on: {', '.join(signed)}")
    return list(topics or signed)


def _of_broker(topics: Sequence[str], kafka: str | None, data_dir: Path) -> list[Place]:
    from gauntlet.broker import Broker, Following
    from gauntlet.topic_verification import Place

    with Following(Broker(data_dir, kafka), topics, from_beginning=True) as following:
        if following.missing:
            notes().print(f"not there: {', '.join(following.missing)}", markup=False, soft_wrap=True)
        found = [Place(*received) for received in following.history()]
    return sorted(found, key=lambda place: (place.record.topic, place.partition or 0, place.offset))


def _of_file(file: Path, topics: Sequence[str] | None) -> list[Place]:
    import json

    from chassis.record_files import from_line
    from gauntlet.topic_verification import Place

    found = []
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        try:
            record, body = from_line(line), json.loads(line)
        except ValueError as error:
            raise CliError(f"{file}, line {number}: {error}", "It is written by: gauntlet events export") from error
        at = body.get("partition"), body.get("offset")
        is_placed = all(type(value) is int for value in at)
        if not topics or record.topic in topics:
            found.append(Place(record, *at) if is_placed else Place(record, None, number))
    return found


def _show(report: Report) -> None:
    print_table(
        ["topic", "model", "signed", "unsigned", "wrong", "newest", "key of the last", ""],
        [_row(model) for model in report.models],
    )
    for record in report.bad[:MOST_SHOWN]:
        line = f"{record.state} {record.place} {record.model_name}: {record.reason}"
        notes().print(line, markup=False, soft_wrap=True)
    if len(report.bad) > MOST_SHOWN:
        notes().print(f"and {len(report.bad) - MOST_SHOWN:,} more: --json has all", soft_wrap=True)
    for model in report.models:
        for line in model.order[:MOST_SHOWN]:
            notes().print(f"order {line} ({model.model_name})", markup=False, soft_wrap=True)
    signed = sum(model.signed for model in report.models)
    console().print(f"{signed:,} signed, {len(report.bad):,} not", soft_wrap=True)


def _row(model: ModelReport) -> list[object]:
    counts = [model.signed, model.unsigned, model.wrong]
    return [model.topic, model.model_name, *counts, model.newest or None, model.key_id, model.problem or ""]
