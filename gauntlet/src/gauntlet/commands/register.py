"""`gauntlet register`: submit a version in MLflow to the gates."""

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
    ModelVersion,
    ServingUrl,
    Timeout,
    Wait,
)
from gauntlet.output import console


def register(
    name: ModelName,
    version: ModelVersion,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the candidate.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Judge it again although nothing has changed; needs --reason.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="FILE|URI",
            help="Rows that it was trained on (Parquet or CSV), which production is compared with for drift.",
        ),
    ] = None,
    actor: Actor = None,
    wait: Wait = False,
    timeout: Timeout = 900,
    kafka: KafkaServers = None,
    mlflow: MlflowUri = None,
    gatekeeper: GatekeeperUrl = None,
    serving: ServingUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Publish ModelRegistered for a version that is in MLflow: the gatekeeper judges it.

    A version that has a verdict is judged again if that was Inconclusive, or if policy, golden rows, champion or data
    have changed since. Otherwise the verdict stands, unless --again is given. The α of a comparison stays spent.
    Who registers a version cannot approve it.

    Without --reference, drift compares with the training rows that MLflow has of the version, else with its golden
    rows.
    """
    from contracts import ModelRegistered, Trigger, new_envelope
    from gauntlet.arguments import model_name, reason_given, registering
    from gauntlet.broker import Broker
    from gauntlet.endpoints import service
    from gauntlet.mlflow_client import MlflowClient
    from gauntlet.service_client import gatekeeper_client
    from gauntlet.wait import Deadline, wait_for_verdict, wait_until_served

    client = MlflowClient(data_dir, mlflow)
    found = client.version(model_name(name), version)
    rows = None
    if reference is not None:
        from gauntlet.reference_rows import reference_of

        rows = reference_of(found, reference, client.address.at)
    kind, why = ("again", reason_given(reason or "")) if again else ("manual", reason)
    by = registering(gatekeeper_client(gatekeeper, data_dir), actor)
    event = ModelRegistered(
        model_name=name,
        model_version=version,
        run_id=found.run_id,
        reference=rows,
        trigger=Trigger(kind=kind, reason=why, by=by),
    )
    envelope = new_envelope(event, source="gauntlet-cli")
    Broker(data_dir, kafka).publish(envelope)
    console().print(f"registered {name} v{version} (event {envelope.id})", markup=False)
    if wait:
        at = service("gatekeeper", data_dir, gatekeeper)
        deadline = Deadline(timeout)
        if epoch := wait_for_verdict(at, name, version, deadline, event_id=envelope.id):
            wait_until_served(service("serving", data_dir, serving), name, epoch, deadline)
