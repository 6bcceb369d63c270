"""`gauntlet backtest`: simulate a policy over a model's history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gauntlet.options import DEFAULT_DATA_DIR, DataDir, Json, count
from gauntlet.output import console, print_json, print_table

KINDS = ("gradual", "sudden", "recurring", "none")


def backtest(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The model; its policy is in POLICIES_DIR.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="A policy file, instead of NAME's.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Judge and measure by this, instead of the policy's metric.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="14d", help="A window is so long; default: the recipe's own windows.")
    ] = None,
    train: Annotated[
        str | None, typer.Option(metavar="60d", help="With --every: so much time before a window is trained on.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="With --every: leave out what is earlier.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="With --every: leave out what is later.")] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="KIND", help=f"Play on generated subscribers: {', '.join(KINDS)}.")
    ] = None,
    seed: Annotated[int, typer.Option(help="With --stream: another seed, other subscribers.")] = 1,
    months: Annotated[int, typer.Option(parser=count, help="With --stream: how many windows.")] = 30,
    users: Annotated[int, typer.Option(parser=count, help="With --stream: rows a window.")] = 5000,
    as_json: Json = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Play a policy over a model's history: promotions, the metric of what was served, regret. Nothing has to run."""
    from gauntlet.arguments import model_name
    from gauntlet.backtesting import Cuts, Generated, play, policy_file
    from gauntlet.errors import CliError

    if stream is not None and stream not in KINDS:
        raise CliError(f"there is no stream {stream!r}", f"Streams are {', '.join(KINDS)}.")
    if policy is None:
        policy = policy_file(model_name(name or ("churn" if stream else "flights-delay")))
    elif name is not None:
        raise CliError("NAME and --policy exclude each other: a policy names its model")
    cuts = Cuts(every=every, train=train, since=since, until=until)
    generated = None if stream is None else Generated(stream, seed, months, users)
    found = play(policy, cuts, generated, metric, data_dir / "backtest")
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    windows = found["windows"]
    rows = sum(window["rows"] for window in windows)
    title = (
        f"{found['model']}: {len(windows)} windows served, {windows[0]['name']} to {windows[-1]['name']}, "
        f"{rows:,} rows, {len(windows) - 1} decisions"
    )
    print_table(
        ("who serves the next window", "promotions", f"{found['metric']} served", "regret"),
        [
            (row["name"], row["promotions"], f"{row['value']:.4f}", f"{row['regret']:.4f}")
            for row in found["contenders"]
        ],
        title=title,
    )
    console().print(
        "regret: how much worse than the oracle that knows each window in advance and may take any version",
        style="dim",
        soft_wrap=True,
    )
