"""A stack that another process runs: its configuration, status and shutdown."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from pydantic import Field, ValidationError

from embedded_kafka.probe import answers
from gauntlet.components import reason
from gauntlet.credentials import headers_for
from gauntlet.endpoints import CliSettings
from gauntlet.errors import CliError
from gauntlet.policy_report import details_in
from gauntlet.preflight import kafka_problem, mlflow_problem
from gauntlet.processes import end, is_running, marked
from gauntlet.stack_config import MARK, StackConfig, offset_ports
from gauntlet.stack_file import PartState, StackState, remove_stack

SUPERVISOR_SECONDS = 45.0  # it allows each of three rounds of parts fifteen
LEFTOVER_SECONDS = 15.0
HTTP_SECONDS = 3.0


class StackSettings(CliSettings):
    """The services' settings that `gauntlet up` reads."""

    policies_dir: Path = Field(Path("policies"), alias="POLICIES_DIR")


def configuration(data_dir: Path, port_offset: int) -> StackConfig:
    """Return the stack that environment and `.env` describe: a Kafka or an MLflow named there is used, not started."""
    try:
        settings = StackSettings()
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][-1]}={item['input']!r}: {item['msg']}" for item in error.errors())
        raise CliError(f"a setting is wrong: {wrong}", "Mend it in the environment or in .env.") from error
    given = settings.model_fields_set
    ports = offset_ports(port_offset)
    if bad := [f"{name} {port}" for name, port in ports.items() if not 1 <= port <= 65_535]:
        raise CliError(f"--port-offset {port_offset} leaves the ports there are: {', '.join(bad)}")
    return StackConfig(
        data_dir=data_dir,
        ports=ports,
        policies_dir=settings.policies_dir,
        kafka_bootstrap_servers=settings.kafka_bootstrap_servers if "kafka_bootstrap_servers" in given else None,
        mlflow_tracking_uri=settings.mlflow_tracking_uri if "mlflow_tracking_uri" in given else None,
        topic_prefix=settings.topic_prefix,
    )


def report(state: StackState) -> dict[str, Any]:
    """Return what `gauntlet status --json` prints."""
    with ThreadPoolExecutor(max_workers=len(state.parts) + 2) as pool:
        healths = list(pool.map(_health, state.parts))
    parts = [
        {**part.model_dump(), "health": health, "policies": policies}
        for part, (health, policies) in zip(state.parts, healths, strict=True)
    ]
    names = {part.name for part in state.parts}
    elsewhere = [
        ("kafka", state.kafka.bootstrap_servers, kafka_problem),
        ("mlflow", state.mlflow.tracking_uri, mlflow_problem),
    ]
    for name, url, ask in elsewhere:
        if name not in names:
            remote = PartState(name=name, url=url).model_dump()
            parts.insert(0, {**remote, "health": ask(url) or "ready", "elsewhere": True})
    supervisor = state.supervisor
    alive = is_running(supervisor.pid, supervisor.process_started)
    return {
        "running": True,
        "healthy": alive and all(part["health"] == "ready" for part in parts),
        "data_dir": state.data_dir,
        "supervisor": {"pid": supervisor.pid, "running": alive},
        "kafka": state.kafka,
        "mlflow": state.mlflow,
        "parts": parts,
    }


def end_stack(state: StackState) -> list[str]:
    """Stop a stack, complete or partial, and return what was still running. Other processes are not touched."""
    running = [part.name for part in state.parts if is_running(part.pid, part.process_started)]
    supervisor = state.supervisor
    if supervisor.pid is not None and is_running(supervisor.pid, supervisor.process_started):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(supervisor.pid).send_signal(signal.SIGTERM)
        deadline = time.monotonic() + SUPERVISOR_SECONDS
        while is_running(supervisor.pid, supervisor.process_started) and time.monotonic() < deadline:
            time.sleep(0.1)
        if is_running(supervisor.pid, supervisor.process_started):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(supervisor.pid).kill()
    # Processes that the supervisor did not end: it may have been killed. Services before the servers they use.
    for server in (False, True):
        left = [part for part in state.parts if (part.name in ("kafka", "mlflow")) is server]
        end([part.pid for part in left if part.pid and is_running(part.pid, part.process_started)], LEFTOVER_SECONDS)
    if state.stack_id:
        end(marked(MARK, state.stack_id), LEFTOVER_SECONDS)  # processes that parts had started
    remove_stack(state.data_dir)
    return running


def _health(part: PartState) -> tuple[str, dict[str, Any] | None]:
    """Return the health of a part, and what it says of policies."""
    if not is_running(part.pid, part.process_started):
        return f"not running, see {part.log}", None
    if part.name == "kafka":
        return "ready" if part.port and answers(part.port) else "does not answer", None
    try:
        path = "/health" if part.name == "mlflow" else "/ready"
        headers = {} if part.name == "mlflow" else headers_for(part.url)
        answer = httpx.get(f"{part.url}{path}", headers=headers, timeout=HTTP_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        return f"does not answer: {error or type(error).__name__}", None
    is_ready = answer.status_code == httpx.codes.OK
    return "ready" if is_ready else f"not ready: {reason(answer)}", details_in(answer)
