"""`gauntlet golden`: the labelled rows that versions are judged on, as immutable datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, Actor, DataDir, GatekeeperUrl, Json, ModelName
from gauntlet.output import console, local_time, print_json, print_listing, print_table

if TYPE_CHECKING:
    from gauntlet.service_client import ServiceClient

Which = Annotated[str, typer.Argument(metavar="NUMBER|DIGEST", help="As `list` prints it; part of a digest will do.")]

app = typer.Typer(no_args_is_help=True, help="Golden datasets: the labelled rows that versions are judged on.")


@app.command()
def create(
    name: ModelName,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", dir_okay=False, help="Parquet or CSV, with the label column.")
    ],
    label: Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="The column of the truth.")] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", metavar="COLUMN", help="Rows with equal values are not independent.")
    ] = None,
    event_time: Annotated[
        str | None, typer.Option("--event-time", metavar="COLUMN", help="The column of the time of each row.")
    ] = None,
    note: Annotated[
        str | None,
        typer.Option("--note", metavar="TEXT", help="What it is; kept in the audit trail. Default: FILE's name."),
    ] = None,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Keep FILE as a golden dataset, named by its content. It judges versions that bring no golden rows.

    With `golden: {dataset: latest}` in the policy, it judges all of them.
    """
    from gauntlet.arguments import model_name, reason_given, who
    from gauntlet.row_files import parquet_of
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    given = {"label": label, "entity": entity, "event_time": event_time}
    columns = {role: column for role, column in given.items() if column is not None}
    content = parquet_of(file, columns)
    client = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT)
    what = reason_given(file.name if note is None else note)
    made = client.upload(f"/models/{model_name(name)}/golden", content, **who(client, actor), note=what, **columns)
    named = "".join(f", {role.replace('_', ' ')} {made[role]!r}" for role in given if made[role])
    console().print(
        f"golden dataset {made['number']} of {made['model_name']}: {made['rows']:,} rows{named}, {made['digest']}",
        markup=False,
        soft_wrap=True,
    )


@app.command("list")
def list_all(
    name: ModelName, as_json: Json = False, gatekeeper: GatekeeperUrl = None, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """List a model's golden datasets, newest first, and how many challengers each has seen."""
    from gauntlet.arguments import model_name
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    found = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT).get(f"/models/{model_name(name)}/golden")
    rows = found if as_json else [{**each, "created_at": local_time(each["created_at"])} for each in found]
    headings = {
        "number": "number",
        "rows": "rows",
        "label": "label",
        "challengers": "challengers",
        "created_at": "created",
        "created_by": "by",
        "note": "note",
        "digest": "digest",
    }
    empty = f"{name} has no golden datasets of its own; versions are judged on what was registered with them"
    print_listing(rows, headings, as_json=as_json, empty=empty)


@app.command()
def show(
    name: ModelName,
    which: Which,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one golden dataset: what is left of its α for the next challenger, and the tournament on it.

    That is the one that a drift gave rise to.
    """
    from gauntlet.arguments import model_name
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client
    from gauntlet.tournament_lines import print_tournament

    client = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT)
    each = _chosen(client, model_name(name), which)
    played = client.get(_tournament(each)) if each["tournament"] else None
    if as_json:
        print_json({**each, "tournament": played})
        return
    spent = each["challengers"]
    rows: list[tuple[str, Any]] = [(field.replace("_", " "), each[field]) for field in _FIELDS]
    rows.append(("next challenger", f"number {spent + 1}: α·6/(π²·{(spent + 1) ** 2}) of the policy's α"))
    print_table(("", ""), rows)
    if played:
        print_tournament(played["evidence"]["tournament"])


@app.command()
def replay(
    name: ModelName,
    which: Which,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Under another policy for the same model.")
    ] = None,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Play the tournament that a drift gave rise to again, from its evidence; nothing is changed.

    Exit 1 when it does not agree to the last digit, and say where. With --policy: how that would have ended it.
    """
    from gauntlet.arguments import model_name
    from gauntlet.commands.replay import print_again
    from gauntlet.policy_files import policy_in
    from gauntlet.service_client import LONG_TIMEOUT, gatekeeper_client

    body = {} if policy is None else {"policy": policy_in(policy).model_dump(mode="json")}
    client = gatekeeper_client(gatekeeper, data_dir, LONG_TIMEOUT)
    each = _chosen(client, model_name(name), which)
    if not each["tournament"]:
        raise CliError(
            f"no drift gave rise to a tournament on golden dataset {each['number']} of {name}",
            "One on the golden rows of a new version: gauntlet replay NAME VERSION",
        )
    found = client.post(f"{_tournament(each)}/replay", body)
    if as_json:
        print_json(found)
    else:
        print_again({**found, "agrees": found["agrees"] and policy is None})
    if policy is None and not found["agrees"]:
        raise typer.Exit(1)


def _chosen(client: ServiceClient, name: str, which: str) -> dict[str, Any]:
    """Return the golden dataset of this number or digest prefix."""
    found = client.get(f"/models/{name}/golden")
    wanted = which.removeprefix("sha256:")
    fitting = [each for each in found if str(each["number"]) == which or each["digest"][7:].startswith(wanted)]
    if len(fitting) != 1:
        what = "more than one golden dataset" if fitting else "no golden dataset"
        raise CliError(f"{what} of {name} is {which!r}", f"See: gauntlet golden list {name}")
    return dict(fitting[0])


def _tournament(each: Mapping[str, Any]) -> str:
    return f"/models/{each['model_name']}/golden/{each['number']}/tournament"


_FIELDS = (
    *("model_name", "number", "rows", "label", "entity", "event_time", "challengers"),
    *("created_at", "created_by", "note", "uri", "digest"),
)


def keys(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The training rows, Parquet or CSV.")],
    label: Annotated[str, typer.Option("--label", metavar="COLUMN", help="The label, which is no feature.")],
    entity: Annotated[str | None, typer.Option("--entity", metavar="COLUMN", help="Whose row it is.")] = None,
    event_time: Annotated[str | None, typer.Option("--event-time", metavar="COLUMN", help="When it was.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("training_keys.parquet"),
) -> None:
    """Write the keys of training rows, by which the gate `leakage` finds golden rows that were trained on.

    Log the file with the model's run, in the folder `datasets`: the training rows themselves need not be kept.
    """
    from chassis.row_keys import TrainedOn
    from gauntlet.row_files import check_columns, read_frame

    frame = read_frame(file)
    check_columns(file, frame, {"label": label, "entity": entity, "event_time": event_time})
    features = [name for name in frame.columns if name not in (label, entity, event_time)]
    trained = TrainedOn.of(frame, features, entity, event_time)
    trained.write(output)
    console().print(
        f"{output}: keys of {trained.rows:,} rows over {len(features)} features ({output.stat().st_size:,} bytes)."
        f' Next: mlflow.log_artifact("{output}", "datasets") in the run of the model',
        markup=False,
        soft_wrap=True,
    )
