"""gauntlet topics: the broker's topics, compared with the required ones."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json, KafkaServers
from gauntlet.output import notes, print_json, print_table


def topics(data_dir: DataDir = DEFAULT_DATA_DIR, kafka: KafkaServers = None, as_json: Json = False) -> None:
    """List the topics with their configuration and size. Exit 1 when one is missing or configured wrongly."""
    from gauntlet.broker import Broker
    from gauntlet.topic_report import report

    broker = Broker(data_dir, kafka)
    found = report(broker)
    if as_json:
        print_json(found)
    else:
        print_table(
            ["topic", "partitions", "cleanup", "retention", "messages", "ends at", ""],
            [_row(topic) for topic in found["topics"]],
        )
        for problem in found["problems"]:
            notes().print(f"[bold red]wrong[/] {escape(problem)}", soft_wrap=True)
    raise typer.Exit(1 if found["problems"] else 0)


def _row(topic: dict[str, Any]) -> list[Any]:
    if topic["partitions"] is None:
        return [topic["name"], None, None, None, None, None, "missing"]
    ends = " ".join(str(end) for end in topic["end_offsets"])
    note = "" if topic["expected"] else "not one of ours"
    retention = _retention(topic["retention_ms"])
    return [topic["name"], topic["partitions"], topic["cleanup_policy"], retention, topic["messages"], ends, note]


def _retention(milliseconds: int) -> str:
    if milliseconds < 0:
        return "for ever"
    hours = milliseconds / 3_600_000
    return f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"
