"""`gauntlet train`: request a new version."""

from __future__ import annotations

from typing import Annotated

import typer

from gauntlet.options import (
    DEFAULT_DATA_DIR,
    Actor,
    DataDir,
    GatekeeperUrl,
    KafkaServers,
    MlflowUri,
    ModelName,
    ServingUrl,
    Timeout,
    TrainerUrl,
    Wait,
)
from gauntlet.output import console


def train(
    name: ModelName,
    window: Annotated[
        str | None, typer.Option(metavar="W", help="One of the recipe's windows, or FIRST..LAST; default: the newest.")
    ] = None,
    from_run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Train nothing: register this earlier MLflow run again.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the version.")] = "requested",
    actor: Actor = None,
    wait: Wait = False,
    timeout: Timeout = 900,
    kafka: KafkaServers = None,
    mlflow: MlflowUri = None,
    trainer: TrainerUrl = None,
    gatekeeper: GatekeeperUrl = None,
    serving: ServingUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Publish TrainingRequested: the trainer makes a version, the gatekeeper judges it."""
    from contracts import TrainingRequested, new_envelope
    from gauntlet.arguments import model_name, requesting
    from gauntlet.broker import Broker
    from gauntlet.endpoints import service
    from gauntlet.errors import CliError
    from gauntlet.mlflow_client import MlflowClient
    from gauntlet.service_client import gatekeeper_client
    from gauntlet.wait import Deadline, wait_for_training, wait_for_verdict, wait_until_served

    if window is not None and from_run is not None:
        raise CliError("--window and --from-run exclude each other: an earlier run is registered as it is")
    if from_run is not None:
        MlflowClient(data_dir, mlflow).require_run(from_run)
    event = TrainingRequested(
        model_name=model_name(name),
        window=window,
        from_run=from_run,
        reason=reason,
        requested_by=requesting(gatekeeper_client(gatekeeper, data_dir), actor),
    )
    envelope = new_envelope(event, source="gauntlet-cli")
    Broker(data_dir, kafka).publish(envelope)
    console().print(f"requested {name} (event {envelope.id})", markup=False)
    if not wait:
        console().print(f"What becomes of it: gauntlet stories {name}, or next time --wait", markup=False)
        return
    deadline = Deadline(timeout)
    version = wait_for_training(service("trainer", data_dir, trainer), envelope, deadline)
    if epoch := wait_for_verdict(service("gatekeeper", data_dir, gatekeeper), name, version, deadline):
        wait_until_served(service("serving", data_dir, serving), name, epoch, deadline)
