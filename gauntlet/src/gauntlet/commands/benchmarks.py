"""`gauntlet benchmarks` and `gauntlet benchmark`: the champion against earlier versions and a trivial baseline."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gauntlet.options import (
    DEFAULT_DATA_DIR,
    Actor,
    DataDir,
    DriftUrl,
    GatekeeperUrl,
    Json,
    Limit,
    ModelName,
    Timeout,
)
from gauntlet.output import console, print_json, print_listing

app = typer.Typer(
    no_args_is_help=True, help="Benchmarks: the champion, earlier versions and a trivial baseline on production rows."
)


@app.command("list")
def list_all(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only those of this model.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List benchmarks, newest first: whether the champion was better than the baseline, and who won."""
    from gauntlet.arguments import model_name
    from gauntlet.benchmark_lines import LIST_HEADINGS, list_row
    from gauntlet.service_client import gatekeeper_client

    of = model_name(name) if name else None
    found = gatekeeper_client(gatekeeper, data_dir).get("/benchmarks", model_name=of, limit=limit)
    rows = found if as_json else [list_row(each) for each in found]
    empty = "no benchmarks yet: policies have them with `benchmark: {every: 7d}`, or gauntlet benchmark NAME --now"
    print_listing(rows, LIST_HEADINGS, as_json=as_json, empty=empty)


@app.command()
def show(
    benchmark_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it.")],
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the figures of one benchmark, where its files are, and its page."""
    from gauntlet.benchmark_lines import print_benchmark
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    found = client.get(f"/benchmarks/{benchmark_id}")
    if as_json:
        print_json(found)
    else:
        print_benchmark(found, client.address.at)


def benchmark(
    name: ModelName,
    now: Annotated[bool, typer.Option("--now", help="Run one at once, and show its results.")] = False,
    reason: Annotated[str, typer.Option(help="With --now: why; it is kept with the results.")] = "requested",
    actor: Actor = None,
    timeout: Timeout = 300,
    as_json: Json = False,
    drift: DriftUrl = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show when the next benchmark of a model is due, and what it waits for.

    With --now: compare champion, earlier versions and a trivial baseline on the newest labelled rows. Exit 1 when the
    champion is not shown to be better than the baseline.
    """
    from gauntlet.arguments import model_name, who
    from gauntlet.benchmark_lines import print_benchmark, print_schedule
    from gauntlet.endpoints import service
    from gauntlet.service_client import ServiceClient, gatekeeper_client
    from gauntlet.wait import Deadline, wait_for_benchmark

    drifting = ServiceClient(service("drift", data_dir, drift))
    if not now:
        schedule = drifting.get(f"/models/{model_name(name)}/benchmark")
        if as_json:
            print_json(schedule)
        else:
            print_schedule(schedule)
        return
    request: dict[str, Any] = {**who(drifting, actor), "reason": reason}
    begun = drifting.post(f"/models/{model_name(name)}/benchmark", request)["benchmark_id"]
    if not as_json:
        console().print(f"benchmark {begun} begins", markup=False)
    client = gatekeeper_client(gatekeeper, data_dir)
    found = wait_for_benchmark(drifting, client, name, begun, Deadline(timeout))
    if as_json:
        print_json(found)
    else:
        print_benchmark(found, client.address.at)
    if found["completed"]["beats_baseline"] is not True:
        raise typer.Exit(1)
