"""`gauntlet promote`, `rollback`, `freeze` and `unfreeze`: people's decisions, each with an actor and a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gauntlet.options import DEFAULT_DATA_DIR, Actor, DataDir, GatekeeperUrl, ModelName, ModelVersion, count
from gauntlet.output import console

Reason = Annotated[str, typer.Option("--reason", metavar="R", help="Why; it is kept in the audit trail.")]


def promote(
    name: ModelName,
    version: ModelVersion,
    reason: Reason,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a version champion: an approval if it passed its gates, an override if it did not."""
    _print_promotion(post_decision(gatekeeper, data_dir, name, "promote", actor, reason, model_version=version))


def rollback(
    name: ModelName,
    reason: Reason,
    to: Annotated[
        int | None, typer.Option("--to", metavar="V", parser=count, help="An earlier champion; default: the previous.")
    ] = None,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make an earlier champion champion again; allowed while frozen."""
    _print_promotion(post_decision(gatekeeper, data_dir, name, "rollback", actor, reason, **({"to": to} if to else {})))


def freeze(
    name: ModelName,
    reason: Reason,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Stop all promotions of a model by gates: until it is unfrozen, its champion changes by rollback only."""
    post_decision(gatekeeper, data_dir, name, "freeze", actor, reason)
    console().print(f"{name} is frozen: {reason}", markup=False)


def unfreeze(
    name: ModelName,
    reason: Reason,
    actor: Actor = None,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Let gates promote versions of a model again."""
    post_decision(gatekeeper, data_dir, name, "unfreeze", actor, reason)
    console().print(f"{name} is no longer frozen: {reason}", markup=False)


def post_decision(
    gatekeeper: str | None, data_dir: Path, name: str, decision: str, actor: str | None, reason: str, **more: Any
) -> Any:
    from gauntlet.arguments import model_name, who_and_why
    from gauntlet.service_client import gatekeeper_client

    client, path = gatekeeper_client(gatekeeper, data_dir), f"/models/{model_name(name)}/{decision}"
    return client.post(path, {**who_and_why(client, actor, reason), **more})


def _print_promotion(promotion: dict[str, Any]) -> None:
    before = f", before it v{promotion['previous_version']}" if promotion["previous_version"] else ""
    console().print(
        f"{promotion['model_name']} v{promotion['model_version']} is champion: epoch {promotion['epoch']}, "
        f"{promotion['cause']} by {promotion['actor']}{before}",
        markup=False,
        soft_wrap=True,
    )
