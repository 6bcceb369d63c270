"""Addresses of the stack's parts, and their source: an option or variable, the running stack, or default ports."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from chassis.settings import MEBIBYTE, KafkaSettings
from chassis.uris import prefixes_of
from gauntlet.errors import CliError, Silent
from gauntlet.stack_file import URL_VARIABLES, endpoints, read_stack

VARIABLES = {**URL_VARIABLES, "kafka": "KAFKA_BOOTSTRAP_SERVERS", "mlflow": "MLFLOW_TRACKING_URI"}


class CliSettings(KafkaSettings):
    """The services' settings that the commands read, `.env` included."""

    mlflow_tracking_uri: str = Field("http://127.0.0.1:5000", alias="MLFLOW_TRACKING_URI")
    policies_dir: Path = Field(Path("policies"), alias="POLICIES_DIR")
    max_event_bytes: int = Field(MEBIBYTE, ge=1024, alias="MAX_EVENT_BYTES")
    advisories_dir: Path | None = Field(None, alias="GATEKEEPER_ADVISORIES_DIR")
    allowed_uri_prefixes: str | None = Field(None, alias="ALLOWED_URI_PREFIXES")
    auth: Literal["off", "tokens", "oidc"] = Field("off", alias="AUTH")
    auth_tokens_file: Path | None = Field(None, alias="AUTH_TOKENS_FILE")


def uri_prefixes() -> str:
    """What ALLOWED_URI_PREFIXES is for processes that a command starts here: as it is set, else this project's folder.

    So a dataset that a notebook in it names by its path can be read, and nothing else of this machine; nor can the home
    folder, or one above it.
    """
    if (said := stack_settings().allowed_uri_prefixes) is not None:
        return said
    here, home = Path.cwd(), Path.home()
    try:
        usable = len(prefixes_of(here.as_uri())) == 1
    except ValueError:  # a name that no prefix can have
        usable = False
    return here.as_uri() if usable and not home.is_relative_to(here) else ""


@dataclass(frozen=True)
class Address:
    """Address of a part; `named` when given by the caller, `running` when from a stack of `data_dir`."""

    part: str
    at: str
    data_dir: Path
    named: bool
    running: bool

    @property
    def title(self) -> str:
        return {
            "kafka": "Kafka",
            "mlflow": "MLflow",
            "drift": "the drift service",
            "serving": "the serving replica",
        }.get(self.part, f"the {self.part}")

    def silent(self, problem: str) -> Silent:
        """Return the error for a part that does not respond there."""
        option = f"--{self.part} or {VARIABLES[self.part]}"
        if self.named:
            return Silent(f"{self.title} at {self.at} does not answer: {problem}", f"Check {option}.")
        if self.running:
            return Silent(
                f"{self.title} at {self.at} does not answer: {problem}",
                f"It belongs to the stack in {self.data_dir}; see: gauntlet status --data-dir {self.data_dir}",
            )
        return Silent(
            f"no stack is running in {self.data_dir}: start one with `gauntlet up`",
            f"Tried the default, {self.at}; {option} names another one.",
        )


def service(part: str, data_dir: Path, option: str | None) -> Address:
    """Return the address of the service `part`; `option` is the caller's value, if any."""
    found: str = getattr(endpoints(data_dir), part)
    named = bool(option or os.environ.get(VARIABLES[part]))
    return Address(part, (option or found).rstrip("/"), data_dir, named, read_stack(data_dir) is not None)


def kafka(data_dir: Path, option: str | None) -> tuple[CliSettings, Address]:
    """Return how to connect to Kafka, and its address. Security and prefix come from the environment and `.env`."""
    settings = stack_settings(option)
    found = endpoints(data_dir).kafka
    given = settings.model_fields_set
    missing = {
        "kafka_bootstrap_servers": found.bootstrap_servers,
        "topic_prefix": found.topic_prefix,
    }
    settings = settings.model_copy(update={name: value for name, value in missing.items() if name not in given})
    named = "kafka_bootstrap_servers" in given
    running = read_stack(data_dir) is not None
    return settings, Address("kafka", settings.kafka_bootstrap_servers, data_dir, named, running)


def mlflow(data_dir: Path, option: str | None) -> Address:
    """Return the address of MLflow's HTTP API. Raises CliError for a tracking URI that is not HTTP."""
    settings = stack_settings()
    named = option or (settings.mlflow_tracking_uri if "mlflow_tracking_uri" in settings.model_fields_set else None)
    at = named or endpoints(data_dir).mlflow.tracking_uri
    if not at.startswith(("http://", "https://")):
        raise CliError(
            f"MLflow's tracking URI {at!r} is not an http:// or https:// address",
            "Name an MLflow server with --mlflow or MLFLOW_TRACKING_URI.",
        )
    return Address("mlflow", at.rstrip("/"), data_dir, named is not None, read_stack(data_dir) is not None)


def stack_settings(bootstrap_servers: str | None = None) -> CliSettings:
    """Read the environment and `.env`. Raises CliError for an invalid setting."""
    try:
        if bootstrap_servers:
            return CliSettings(KAFKA_BOOTSTRAP_SERVERS=bootstrap_servers)
        return CliSettings()
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][-1]}={item['input']!r}: {item['msg']}" for item in error.errors())
        raise CliError(f"a setting is wrong: {wrong}", "Mend it in the environment or in .env.") from error
