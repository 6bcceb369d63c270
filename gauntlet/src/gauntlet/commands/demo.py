"""`gauntlet demo`: the whole story on real data, each step checked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR
from gauntlet.output import console, notes
from gauntlet.stack_file import DEFAULT_PORTS

if TYPE_CHECKING:
    from gauntlet.demo.play import Play
    from gauntlet.demo.site import Site
    from gauntlet.demo.story import Step, Story

OWN_FOLDER = "demo"


class Example(StrEnum):
    """The data of the story."""

    flights = "flights"
    churn = "churn"


def demo(
    example: Annotated[Example, typer.Option(help="Real flights out of New York, or subscribers of a service.")] = (
        Example.flights
    ),
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="churn: snapshots month_000, month_001, …; default: generated ones."),
    ] = None,
    stack: Annotated[
        bool,
        typer.Option(
            "--stack",
            help="Play against the stack that runs: the one of --data-dir, or that GATEKEEPER_URL, SERVING_URL, "
            "KAFKA_BOOTSTRAP_SERVERS, … name, or the default ports (docker compose up).",
        ),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's stack running at the end, until Ctrl-C.")] = (
        False
    ),
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data-dir",
            envvar="GAUNTLET_DATA_DIR",
            file_okay=False,
            help="The demo's own stack keeps its files in DATA_DIR/demo; with --stack: the running one's folder.",
        ),
    ] = DEFAULT_DATA_DIR,
) -> None:
    """Play the whole story on real data, each step checked; exit 0 only if all of it was true."""
    from gauntlet.demo.story import Step, Story

    if data is not None and example is not Example.churn:
        raise CliError(f"--data is for --example churn; {example.value} brings its own data")
    if keep and stack:
        raise CliError("--keep is for the demo's own stack; with --stack nothing is stopped anyway")
    signal.signal(signal.SIGTERM, _interrupted)
    story = Story(console())
    with ExitStack() as closing:
        environment = _environment(example, data, data_dir, stack)
        sites: list[Site] = []

        def up() -> str:
            sites.append(
                _running(data_dir, example) if stack else closing.enter_context(_own(data_dir, environment, story))
            )
            return _where(sites[0])

        ok = story.play([Step("the stack is up: Kafka, MLflow, trainer, gatekeeper, drift, serving, staging", up)])
        if ok:
            play, steps = closing.enter_context(_prepared(example, sites[0], environment, story))
            ok = story.play(steps)
            _sum_up(story, play, ok)
            if ok and keep:
                _wait_for_the_end()
    if not ok:
        raise typer.Exit(1)


def _environment(example: Example, data: Path | None, data_dir: Path, stack: bool) -> dict[str, str]:
    """Return additional variables for the services and the examples."""
    from gauntlet.demo import churn

    if example is not Example.churn:
        return {}
    if data is None and stack:
        named = os.environ.get(churn.DATA_VARIABLE)
        if named is None:
            raise CliError(
                "which subscribers? The running stack's trainer has its own snapshots",
                f"Name the same folder here, with --data or {churn.DATA_VARIABLE}.",
            )
        data = Path(named)
    if data is None:
        folder = data_dir / f"{OWN_FOLDER}-churn-data"
        data = folder if folder.is_dir() else churn.generate(folder)
    churn.snapshots(data)
    return {churn.DATA_VARIABLE: str(data.absolute())}


@contextmanager
def _own(data_dir: Path, environment: dict[str, str], story: Story) -> Iterator[Site]:
    from gauntlet.demo.site import OWN_SETTINGS, own_config, own_site
    from gauntlet.stack import Stack
    from gauntlet.stack_file import URL_VARIABLES

    for name in (*URL_VARIABLES.values(), "KAFKA_BOOTSTRAP_SERVERS", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)  # they name another stack
    os.environ.update(OWN_SETTINGS)
    policies = Path(os.environ.get("POLICIES_DIR", "policies"))
    config = own_config(data_dir / OWN_FOLDER, policies, environment)
    with Stack(config, lambda part, what: story.say(f"{part}: {what}")) as running:
        yield own_site(running)


def _running(data_dir: Path, example: Example) -> Site:
    from gauntlet.demo import churn, flights
    from gauntlet.demo.site import require_no_champion, running_site

    site = running_site(data_dir)
    require_no_champion(site, flights.MODEL if example is Example.flights else churn.MODEL)
    return site


@contextmanager
def _prepared(
    example: Example, site: Site, environment: dict[str, str], story: Story
) -> Iterator[tuple[Play, list[Step]]]:
    """Start the story's rows, readers and senders; stop them with it."""
    from gauntlet.demo import churn, flights
    from gauntlet.demo.feed import Feed
    from gauntlet.demo.journal import Journal
    from gauntlet.demo.play import Play
    from gauntlet.demo.traffic import Traffic
    from gauntlet.demo.truth import Truth

    if example is Example.flights:
        model, windows = flights.MODEL, [flights.WINDOW]
    else:
        model, windows = churn.MODEL, churn.snapshots(Path(environment[churn.DATA_VARIABLE]))
    feed = Feed(example.value, windows[-1], environment)
    truth = Truth(site.broker, model)
    traffic = Traffic(feed, site.urls["serving"], model, truth, site.headers("serving"))
    with Journal(site.broker, model) as journal:
        feed.start()
        play = Play(site, journal, feed, truth, traffic, model, example.value, environment, story.say)
        steps = (
            flights.FlightsStory(play).steps()
            if example is Example.flights
            else churn.ChurnStory(play, windows).steps()
        )
        try:
            yield play, list(steps)
        finally:
            traffic.stop()
            truth.stop()
            feed.stop()


def _sum_up(story: Story, play: Play, ok: bool) -> None:
    out = console()
    out.print()
    out.print(story.summary())
    out.print()
    site, model = play.site, play.model_name
    if not ok:
        notes().print(
            f"[bold red]The story was not true.[/] The services' logs: {site.data_dir / 'logs'}", soft_wrap=True
        )
        return
    out.print("[bold]Where to look[/]")
    folder = "" if site.data_dir == DEFAULT_DATA_DIR else f" --data-dir {site.data_dir}"
    asked = ("models", f"candidates {model}", f"audit {model}", f"show {model} 1")
    lines = [f"gauntlet {words}{folder}" for words in asked]
    if site.stack is not None:
        lines.insert(0, f"gauntlet up --detach{folder}    # this very stack again, with all that happened in it")
        urls = ", ".join(
            f"{name} http://127.0.0.1:{DEFAULT_PORTS[name]}" for name in ("gatekeeper", "drift", "mlflow", "serving")
        )
        lines += [f"{urls}    # then, too", f"gauntlet down{folder}"]
    else:
        lines.append(_where(site))
    for line in lines:
        out.print(f"  {line}", soft_wrap=True, markup=False)


def _where(site: Site) -> str:
    named = ", ".join(f"{name} {url}" for name, url in site.urls.items())
    return f"{named}, MLflow {site.mlflow_uri}, Kafka {site.broker.settings.kafka_bootstrap_servers}"


def _wait_for_the_end() -> None:
    notes().print("The stack stays up; Ctrl-C stops it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        notes().print("stopping")


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
