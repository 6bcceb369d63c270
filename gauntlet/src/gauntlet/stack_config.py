"""Configuration of a stack: its parts, ports, settings and folder."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gauntlet.components import KafkaPart, Part, ProcessPart
from gauntlet.credentials import headers_for
from gauntlet.endpoints import uri_prefixes
from gauntlet.errors import CliError
from gauntlet.stack_file import DEFAULT_PORTS, URL_VARIABLES

MARK = "GAUNTLET_STACK_ID"
MLFLOW_SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # evaluation jobs, which are not used here: four processes
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class Service:
    """One of our services: `python -m module`, its settings under `prefix`."""

    name: str
    module: str
    prefix: str
    extra: Mapping[str, str] = field(default_factory=dict)


SERVICES = (
    Service("trainer", "trainer", "TRAINER"),
    Service("gatekeeper", "gatekeeper", "GATEKEEPER"),
    Service("drift", "drift", "DRIFT"),
    Service("serving", "serving", "SERVING", {"SERVING_ROLE": "production", "SERVING_REPLICA": "production"}),
    Service("staging", "serving", "SERVING", {"SERVING_ROLE": "staging", "SERVING_REPLICA": "staging"}),
)


def offset_ports(offset: int) -> dict[str, int]:
    """Return the default ports, each moved by `offset`."""
    return {name: port + offset for name, port in DEFAULT_PORTS.items()}


def free_ports() -> dict[str, int]:
    """Return a free port for every part, for stacks that must not conflict with others (the demo, tests)."""
    sockets = {name: socket.socket() for name in DEFAULT_PORTS}
    try:
        for listener in sockets.values():
            listener.bind(("127.0.0.1", 0))
        return {name: listener.getsockname()[1] for name, listener in sockets.items()}
    finally:
        for listener in sockets.values():
            listener.close()


@dataclass(frozen=True)
class StackConfig:
    """Complete configuration of a Stack.

    `ports` has one for each part. `kafka_bootstrap_servers` and `mlflow_tracking_uri` name external servers:
    then the stack starts none of its own. `environment` is added to the environment of every service; `services` are
    the ones to run, all by default.
    """

    data_dir: Path
    ports: Mapping[str, int] = field(default_factory=lambda: offset_ports(0))
    policies_dir: Path = Path("policies")
    kafka_bootstrap_servers: str | None = None
    mlflow_tracking_uri: str | None = None
    topic_prefix: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    services: Collection[str] = tuple(service.name for service in SERVICES)

    @property
    def bootstrap_servers(self) -> str:
        return self.kafka_bootstrap_servers or f"127.0.0.1:{self.ports['kafka']}"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"http://127.0.0.1:{self.ports['mlflow']}"


def build_parts(config: StackConfig, own: Mapping[str, str]) -> list[Part]:
    """Return the parts that this machine is to run, in the order they start. Raises CliError for missing policies.

    `own` is put into the environment of every process: what it belongs to, and what it is forked from.
    """
    if not config.policies_dir.is_dir():
        raise CliError(
            f"there is no folder of policies at {config.policies_dir.absolute()}",
            "Start from the folder that holds policies/, or name another one in POLICIES_DIR.",
        )
    parts: list[Part] = []
    if config.mlflow_tracking_uri is None:
        parts.append(_mlflow(config, own))
    if config.kafka_bootstrap_servers is None:
        parts.append(KafkaPart(config.data_dir / "kafka", config.ports["kafka"], _log(config, "kafka")))
    parts.extend(_service(service, config, own) for service in SERVICES if service.name in config.services)
    return parts


def _mlflow(config: StackConfig, own: Mapping[str, str]) -> ProcessPart:
    folder = config.data_dir.absolute() / "mlflow"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # MLflow makes its database readable for all
    command = [
        *(
            sys.executable,
            "-m",
            "chassis.processes.mlflow_server",
            "--host",
            "127.0.0.1",
            "--port",
            str(config.ports["mlflow"]),
        ),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts"), "--uvicorn-opts", "--log-level warning"),
    ]
    environment = {**os.environ, **MLFLOW_SETTINGS, **own}
    environment.pop("MLFLOW_TRACKING_URI", None)  # a server configured as a client of another one does not start
    return ProcessPart("mlflow", command, environment, config.ports["mlflow"], "/health", _log(config, "mlflow"))


def _service(service: Service, config: StackConfig, own: Mapping[str, str]) -> ProcessPart:
    port = config.ports[service.name]
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": config.bootstrap_servers,
        "MLFLOW_TRACKING_URI": config.tracking_uri,
        "TOPIC_PREFIX": config.topic_prefix,
        "DATA_DIR": str(config.data_dir.absolute()),
        "POLICIES_DIR": str(config.policies_dir.absolute()),
        "ALLOWED_URI_PREFIXES": uri_prefixes(),
        **{variable: f"http://127.0.0.1:{config.ports[name]}" for name, variable in URL_VARIABLES.items()},
        f"{service.prefix}_HOST": "127.0.0.1",
        f"{service.prefix}_PORT": str(port),
        **service.extra,
        **config.environment,
        **own,
    }
    command = [sys.executable, "-m", service.module]
    headers = headers_for(f"http://127.0.0.1:{port}")
    return ProcessPart(service.name, command, environment, port, "/ready", _log(config, service.name), headers)


def _log(config: StackConfig, name: str) -> Path:
    return config.data_dir.absolute() / "logs" / f"{name}.log"
