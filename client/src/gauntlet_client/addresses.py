"""Where a stack is: given addresses, else variables, else the stack of the data directory, else default ports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from contracts.addresses import DEFAULT_PORTS, STACK_FILE, URL_VARIABLES
from contracts.kafka_connection import KafkaConnection
from gauntlet_client.errors import ClientError

DATA_DIR = ".gauntlet"
VARIABLES = {**URL_VARIABLES, "mlflow": "MLFLOW_TRACKING_URI"}
TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Addresses:
    """The address of each part by its name, how to reach Kafka, and whom requests come from."""

    urls: Mapping[str, str]
    kafka: KafkaConnection
    token: str | None = field(default=None, repr=False)
    mlflow_login: tuple[str, str] | None = field(default=None, repr=False)

    def of(self, part: str) -> str:
        """Return the address of a part. Raises ClientError for one that is not HTTP, such as an MLflow of files."""
        url = self.urls[part]
        if not url.startswith(("http://", "https://")):
            raise ClientError(
                f"the address of {part}, {url!r}, is no http:// or https:// address", "Such as http://127.0.0.1:8010"
            )
        return url.rstrip("/")

    def headers(self, part: str) -> dict[str, str]:
        """Return what presents the token: to services, never to MLflow."""
        return {"Authorization": f"Bearer {self.token}"} if self.token and part != "mlflow" else {}


def find(
    given: Mapping[str, str | None],
    kafka: str | None = None,
    token: str | None = None,
    data_dir: str | Path | None = None,
    variables: Mapping[str, str] = os.environ,
) -> Addresses:
    """Return the addresses of a stack. Raises ClientError for a wrong token, setting of Kafka, or file of the stack.

    `given`: addresses by name of the part (gatekeeper, serving, staging, trainer, drift, mlflow), None for the others.
    """
    stack = _stack(Path(data_dir or variables.get("GAUNTLET_DATA_DIR") or DATA_DIR))
    running = {part["name"]: part["url"] for part in stack.get("parts", ())}
    running |= {"mlflow": stack["mlflow"]["tracking_uri"]} if "mlflow" in stack else {}
    named = {name: variables.get(variable) for name, variable in VARIABLES.items()}
    urls = {name: given.get(name) or named[name] or running.get(name) or _default(name) for name in named}
    token = token or variables.get("GAUNTLET_TOKEN")
    if token is not None and not TOKEN.fullmatch(token := token.strip()):
        raise ClientError(
            "the token (GAUNTLET_TOKEN) is no token: expected printable ASCII characters without spaces",
            "A token is printed once, by `gauntlet token create`, or comes from your identity provider.",
        )
    user, password = variables.get("MLFLOW_TRACKING_USERNAME"), variables.get("MLFLOW_TRACKING_PASSWORD")
    login = (user, password) if user and password else None
    return Addresses(urls, _kafka(kafka, stack.get("kafka", {}), variables), token, login)


def is_here(url: str) -> bool:
    """Return whether it is this machine: a proxy of the environment is for others."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _kafka(servers: str | None, running: Mapping[str, str], variables: Mapping[str, str]) -> KafkaConnection:
    names = {"kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS", "topic_prefix": "TOPIC_PREFIX"}
    found = {
        "kafka_bootstrap_servers": running.get("bootstrap_servers", f"127.0.0.1:{DEFAULT_PORTS['kafka']}"),
        "topic_prefix": running.get("topic_prefix", ""),
    }
    # The address that a stack has belongs to its prefix: a server named by the caller has the variable's, or none.
    implied = {name: value for name, value in found.items() if names[name] not in variables}
    if servers is not None:
        implied = {"kafka_bootstrap_servers": servers}
    try:
        return KafkaConnection.of(variables, **implied)
    except ValidationError as error:
        wrong = "; ".join(f"{str(item['loc'][-1]).upper()}={item['input']!r}: {item['msg']}" for item in error.errors())
        raise ClientError(f"a setting of Kafka is wrong: {wrong}", "Mend it in the environment.") from error


def _stack(data_dir: Path) -> dict[str, Any]:
    path = data_dir / STACK_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ClientError(
            f"cannot read the stack's state file {path}: {error}",
            "If no stack runs here, delete the file; otherwise name the right directory with data_dir.",
        ) from error
    return found


def _default(name: str) -> str:
    return f"http://127.0.0.1:{DEFAULT_PORTS[name]}"
