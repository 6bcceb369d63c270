"""What must hold before a stack starts: its ports are free, and external servers respond."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

import httpx

from embedded_kafka.probe import taken
from gauntlet.components import Part
from gauntlet.errors import CliError
from gauntlet.processes import is_running, listener
from gauntlet.stack_config import StackConfig
from gauntlet.stack_file import read_stack

KNOCK_SECONDS = 3.0


def require_no_leftovers(data_dir: Path) -> None:
    """Raise CliError when parts of a stack whose supervisor was killed still run in `data_dir`."""
    state = read_stack(data_dir)
    left = [part for part in state.parts if is_running(part.pid, part.process_started)] if state else []
    if left:
        raise CliError(
            f"the supervisor of the stack in {data_dir} was killed, and parts of it still run: "
            + ", ".join(f"{part.name} (pid {part.pid})" for part in left),
            f"Stop them with: gauntlet down --data-dir {data_dir}",
        )


def require_free_ports(parts: Iterable[Part]) -> None:
    """Raise CliError that names every port in use, its process, and the option to change ports."""
    wanted = {part.port: part.name for part in parts}
    occupied = [
        f"port {port}, which {name} needs, is taken" + (f" by {owner}" if (owner := listener(port)) else "")
        for port, name in wanted.items()
        if taken(port)
    ]
    if occupied:
        raise CliError("; ".join(occupied), "Stop what has it, or move the whole stack: gauntlet up --port-offset 100")


def require_reachable(config: StackConfig) -> None:
    """Raise CliError when a configured external Kafka or MLflow does not respond."""
    if config.kafka_bootstrap_servers and (problem := kafka_problem(config.kafka_bootstrap_servers)):
        raise CliError(
            f"KAFKA_BOOTSTRAP_SERVERS names {config.kafka_bootstrap_servers}, which does not answer: {problem}",
            "Start that Kafka, or unset the variable (environment and .env) and the stack starts its own.",
        )
    if config.mlflow_tracking_uri and (problem := mlflow_problem(config.mlflow_tracking_uri)):
        raise CliError(
            f"MLFLOW_TRACKING_URI names {config.mlflow_tracking_uri}, which does not answer: {problem}",
            "Start that MLflow, or unset the variable (environment and .env) and the stack starts its own.",
        )


def kafka_problem(bootstrap_servers: str) -> str | None:
    """Return why no broker of `bootstrap_servers` accepts a connection, None when one does."""
    problem = "no address"
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()
            return None
        except ValueError:
            problem = f"{server!r} is not HOST:PORT"
        except OSError as error:
            problem = error.strerror or str(error)
    return problem


def mlflow_problem(tracking_uri: str) -> str | None:
    """Return why the MLflow server at `tracking_uri` does not respond, None when it does."""
    if not tracking_uri.startswith(("http://", "https://")):
        return "it is not an http:// or https:// address, and the services need a server they can share"
    try:
        answer = httpx.get(f"{tracking_uri.rstrip('/')}/health", timeout=KNOCK_SECONDS)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None if answer.status_code == httpx.codes.OK else f"/health answers {answer.status_code}"
