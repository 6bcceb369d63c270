"""`gauntlet drift`: whether production has drifted from what a champion was trained on, and by which limits."""

from __future__ import annotations

from typing import Annotated

import typer

from gauntlet.options import DEFAULT_DATA_DIR, DataDir, DriftUrl, Json, Limit
from gauntlet.output import console, print_json, print_listing, print_table


def drift(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this model's rules and newest windows.")
    ] = None,
    window: Annotated[
        str | None, typer.Option("--window", metavar="ID", help="Show one window: its verdicts and each column.")
    ] = None,
    limit: Limit = 10,
    as_json: Json = False,
    drift_url: DriftUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the drift of models in production: verdicts on features and performance, harm, limits, and the pages.

    Without NAME, the newest verdict of each model. With --window, one window in detail.
    """
    from gauntlet.arguments import model_name
    from gauntlet.drift_lines import COLUMNS, LIST_HEADINGS, SCORES, list_row, model_lines, score_row, window_row
    from gauntlet.drift_lines import window_lines as lines_of
    from gauntlet.endpoints import service
    from gauntlet.errors import CliError
    from gauntlet.service_client import ServiceClient

    if name is not None and window is not None:
        raise CliError(
            "NAME and --window exclude each other: a window's id names its model", f"gauntlet drift --window {window}"
        )
    client = ServiceClient(service("drift", data_dir, drift_url))
    if window is not None:
        found = client.get(f"/windows/{window}")
        if as_json:
            print_json(found)
            return
        for line in lines_of(found):
            console().print(line, soft_wrap=True)
        if found["data"]["scores"]:
            print_table(SCORES, map(score_row, found["data"]["scores"]))
        return
    if name is None:
        models = client.get("/models")
        empty = "no model has been promoted or has predicted yet"
        print_listing(models if as_json else list(map(list_row, models)), LIST_HEADINGS, as_json=as_json, empty=empty)
        return
    model = client.get(f"/models/{model_name(name)}")
    windows = client.get(f"/models/{name}/windows", limit=limit)
    if as_json:
        print_json({**model, "windows": windows})
        return
    for line in model_lines(model):
        console().print(line, soft_wrap=True)
    if windows:
        print_table(COLUMNS, map(window_row, windows))
