"""The file `stack.json` of a data directory: the running parts and their addresses."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.addresses import DEFAULT_PORTS, STACK_FILE, URL_VARIABLES
from gauntlet.errors import CliError

PartName = Literal["kafka", "mlflow", "trainer", "gatekeeper", "drift", "serving", "staging"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PartState(_Model):
    """One part of a running stack; `pid` is None while it does not run."""

    name: str
    url: str
    port: int | None = None
    pid: int | None = None
    process_started: float | None = None  # seconds since the epoch: a pid alone may have been reused
    started_at: datetime | None = None
    restarts: int = 0
    log: Path | None = None


class KafkaState(_Model):
    bootstrap_servers: str
    topic_prefix: str = ""


class MlflowState(_Model):
    tracking_uri: str


class StackState(_Model):
    """Contents of `stack.json`."""

    data_dir: Path
    stack_id: str = ""  # every process of the stack has it in its environment
    ready: bool = False  # every part has been ready once
    supervisor: PartState
    kafka: KafkaState
    mlflow: MlflowState
    parts: tuple[PartState, ...] = ()

    def part(self, name: str) -> PartState | None:
        """Return the part called `name`, or None when this stack has none."""
        return next((part for part in self.parts if part.name == name), None)


class Endpoints(_Model):
    """Addresses of the services for the commands; see `endpoints`."""

    gatekeeper: str
    serving: str
    staging: str
    drift: str
    trainer: str
    kafka: KafkaState
    mlflow: MlflowState


def read_stack(data_dir: Path) -> StackState | None:
    """Return the state of the stack in `data_dir`, or None when none was started (or it was stopped) there."""
    path = data_dir / STACK_FILE
    try:
        return StackState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise CliError(
            f"cannot read the stack's state file {path}: {error}",
            "If no stack runs here, delete the file; otherwise name the right directory with --data-dir.",
        ) from error


def write_stack(state: StackState) -> None:
    """Replace `stack.json` atomically, so that a reader never sees half of it."""
    path = state.data_dir / STACK_FILE
    temporary = path.with_name(f".{STACK_FILE}.{os.getpid()}")
    temporary.write_text(state.model_dump_json(indent=2))
    temporary.replace(path)


def remove_stack(data_dir: Path) -> None:
    """Remove the stack file of `data_dir`."""
    (data_dir / STACK_FILE).unlink(missing_ok=True)


def endpoints(data_dir: Path) -> Endpoints:
    """Return the address of each service: variables (GATEKEEPER_URL, …), then the running stack, then default ports.

    The default ports make the commands work against `docker compose up`, which writes no stack file.
    """
    stack = read_stack(data_dir)
    urls = {name: _url(name, stack) for name in URL_VARIABLES}
    kafka = stack.kafka if stack else KafkaState(bootstrap_servers=f"127.0.0.1:{DEFAULT_PORTS['kafka']}")
    mlflow = stack.mlflow if stack else MlflowState(tracking_uri=f"http://127.0.0.1:{DEFAULT_PORTS['mlflow']}")
    return Endpoints(
        **urls,
        kafka=KafkaState(
            bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers),
            topic_prefix=os.environ.get("TOPIC_PREFIX", kafka.topic_prefix),
        ),
        mlflow=MlflowState(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", mlflow.tracking_uri)),
    )


def _url(name: str, stack: StackState | None) -> str:
    if url := os.environ.get(URL_VARIABLES[name]):
        return url.rstrip("/")
    part = stack.part(name) if stack else None
    return part.url if part else f"http://127.0.0.1:{DEFAULT_PORTS[name]}"
