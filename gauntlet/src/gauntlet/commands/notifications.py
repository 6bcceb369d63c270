"""`gauntlet notifications`: who is told what; what was sent, and what was given up."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, Limit
from gauntlet.output import console, local_time, notes, print_json, print_table, shortened

HEADINGS = ("id", "created", "target", "state", "attempts", "events", "title", "last reply")


class State(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


app = typer.Typer(no_args_is_help=True, help="Messages to people: by mail, chat or webhook.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Such as notifications.yaml.")], as_json: Json = False
) -> None:
    """Validate a file of subscriptions, and say in words who is told what. Nothing has to run, and nothing is sent."""
    from chassis.notifications_file import load_notifications
    from chassis.yaml_file import YamlError
    from gauntlet.notification_lines import in_words

    try:
        settings = load_notifications(file)
    except YamlError as error:
        raise CliError(
            str(error), "It is not taken up until it is mended; what the file held before stays in force."
        ) from error
    words = in_words(settings)
    if as_json:
        print_json({"settings": settings, "words": [list(each) for each in words]})
        return
    print_table(("", f"{file} is valid"), words)


@app.command("test")
def send_test(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="One of the targets of the gatekeeper's file.")],
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Have the gatekeeper send a real test message to a target, and show what the target replied; exit 1 if it was not
    taken."""
    from urllib.parse import quote

    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT)
    result = client.post(f"/notifications/targets/{quote(target, safe='')}/test", None)
    if as_json:
        print_json(result)
    elif result["delivered"]:
        console().print(f"{target} has taken it: {result['reply']}", markup=False, soft_wrap=True)
    else:
        notes().print(f"[bold red]not taken[/] by {escape(target)}: {escape(result['reply'])}", soft_wrap=True)
    if not result["delivered"]:
        raise typer.Exit(1)


@app.command("list")
def list_notifications(
    state: Annotated[State | None, typer.Option("--state", help="Only those that are in this state.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="TARGET", help="Only those to this target.")] = None,
    limit: Limit = 20,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List messages, newest first: their state, the attempts, and what the target replied last."""
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    wanted = None if state is None else state.value
    found = client.get("/notifications", state=wanted, target=target, limit=limit)
    if as_json:
        print_json(found)
        return
    if found["problem"]:
        notes().print(f"[bold red]not in force:[/] {escape(found['problem'])}", soft_wrap=True)
    if not found["targets"]:
        console().print(f"no targets: {found['file']} holds none", markup=False, soft_wrap=True)
    if not found["notifications"]:
        console().print("no notifications")
        return
    print_table(HEADINGS, [_row(each) for each in found["notifications"]])


@app.command()
def retry(
    notification_id: Annotated[str, typer.Argument(metavar="ID", help="As `gauntlet notifications list` shows it.")],
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Have a message that was given up, or that waits, sent again now."""
    from urllib.parse import quote

    from gauntlet.service_client import gatekeeper_client

    result = gatekeeper_client(gatekeeper, data_dir).post(
        f"/notifications/{quote(notification_id, safe='')}/retry", None
    )
    if as_json:
        print_json(result)
        return
    console().print(
        f"{result['id']} is sent to {result['target']} again; gauntlet notifications list shows the reply",
        markup=False,
        soft_wrap=True,
    )


def _row(each: dict[str, object]) -> list[object]:
    return [
        each["id"],
        local_time(str(each["created_at"])),
        each["target"],
        each["state"],
        each["attempts"],
        each["events"],
        shortened(str(each["title"])),
        shortened(None if each["last_reply"] is None else str(each["last_reply"])),
    ]
