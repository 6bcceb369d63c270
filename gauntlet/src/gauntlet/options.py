"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA_DIR = Path(".gauntlet")

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
KafkaServers = Annotated[
    str | None,
    typer.Option(
        "--kafka", envvar="KAFKA_BOOTSTRAP_SERVERS", metavar="HOST:PORT", help="Instead of the stack's Kafka."
    ),
]
MlflowUri = Annotated[
    str | None,
    typer.Option("--mlflow", envvar="MLFLOW_TRACKING_URI", metavar="URL", help="Instead of the stack's MLflow."),
]
