"""Options that several commands share, defined and documented once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA_DIR = Path(".gauntlet")


def count(text: object) -> int:
    """Read a number from 1 up; Typer's own message would not show the given value."""
    try:
        number = int(str(text))
    except ValueError:
        number = 0
    if number < 1:
        raise typer.BadParameter(f"{str(text)!r} is not a whole number from 1 up")
    return number


def seconds(text: object) -> float:
    """Read a positive number of seconds."""
    try:
        number = float(str(text))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise typer.BadParameter(f"{str(text)!r} is not a number of seconds above 0")
    return number


def entity_rate(text: object) -> float:
    """Read a rate, such as 50/s; the result is a second."""
    from chassis.explain import quantities

    try:
        return text if isinstance(text, float) else quantities.rate(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="GAUNTLET_DATA_DIR",
        file_okay=False,
        help="Where the stack keeps its state, logs and databases.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table for people.")]
GatekeeperUrl = Annotated[
    str | None,
    typer.Option("--gatekeeper", envvar="GATEKEEPER_URL", metavar="URL", help="Instead of the stack's gatekeeper."),
]
ServingUrl = Annotated[
    str | None,
    typer.Option("--serving", envvar="SERVING_URL", metavar="URL", help="Instead of the stack's production serving."),
]
TrainerUrl = Annotated[
    str | None,
    typer.Option("--trainer", envvar="TRAINER_URL", metavar="URL", help="Instead of the stack's trainer."),
]
DriftUrl = Annotated[
    str | None,
    typer.Option("--drift", envvar="DRIFT_URL", metavar="URL", help="Instead of the stack's drift service."),
]
KafkaServers = Annotated[
    str | None,
    typer.Option(
        "--kafka", envvar="KAFKA_BOOTSTRAP_SERVERS", metavar="HOST:PORT", help="Instead of the stack's Kafka."
    ),
]
TrustedKeys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        envvar="GATEKEEPER_TRUSTED_KEYS",
        metavar="DIR",
        file_okay=False,
        help="Folder of the public keys that are trusted (*.pem); without it, signatures are not verified.",
    ),
]
MlflowUri = Annotated[
    str | None,
    typer.Option("--mlflow", envvar="MLFLOW_TRACKING_URI", metavar="URL", help="Instead of the stack's MLflow."),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", parser=count, help="At most so many, newest first.")]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The model's name in MLflow.")]
ModelVersion = Annotated[int, typer.Argument(metavar="VERSION", parser=count, help="The version's number in MLflow.")]
Actor = Annotated[
    str | None, typer.Option("--actor", envvar="GAUNTLET_ACTOR", help="Who decides; default: your name on this system.")
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        help="Follow until the verdict, gate by gate, and until it is served, or its rollout begins; exit 1 unless it"
        " passed.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", parser=seconds, help="With --wait: give up after so long."),
]
