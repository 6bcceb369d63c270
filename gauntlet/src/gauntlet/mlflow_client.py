"""MLflow client of the commands. Over REST, since importing mlflow takes seconds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gauntlet.endpoints import mlflow
from gauntlet.errors import CliError
from gauntlet.service_client import ServiceClient, ServiceError

API = "/api/2.0/mlflow"
MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
READY = "READY"
SHOWN = 10


@dataclass(frozen=True)
class FoundVersion:
    name: str
    version: int
    run_id: str | None


class MlflowClient:
    """Queries one MLflow server. Raises CliError when it is unavailable or lacks the requested object."""

    def __init__(self, data_dir: Path, tracking_uri: str | None) -> None:
        self.address = mlflow(data_dir, tracking_uri)
        user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
        self._client = ServiceClient(self.address, auth=(user, password) if user and password else None)

    def version(self, name: str, version: int) -> FoundVersion:
        """Return a version that is ready to be used."""
        try:
            answer = self._client.get(f"{API}/model-versions/get", name=name, version=version)
        except ServiceError as error:
            if error.problem.get("error_code") in MISSING:
                raise self._no_version(name, version) from error
            raise
        found: dict[str, Any] = answer["model_version"]
        if found.get("status", READY) != READY:
            raise CliError(
                f"version {version} of {name!r} in MLflow at {self.address.at} has status {found['status']}, not READY",
                str(found.get("status_message") or "Wait until MLflow has it, then register it."),
            )
        return FoundVersion(name, version, found.get("run_id") or None)

    def require_run(self, run_id: str) -> None:
        """Check that the run exists. Raises CliError for a run that MLflow does not have."""
        try:
            self._client.get(f"{API}/runs/get", run_id=run_id)
        except ServiceError as error:
            if error.problem.get("error_code") in {*MISSING, "INVALID_PARAMETER_VALUE"}:
                raise CliError(
                    f"MLflow at {self.address.at} has no run {run_id!r}", "The run's id is on its page in MLflow."
                ) from error
            raise

    def _no_version(self, name: str, version: int) -> CliError:
        quoted = name.replace("'", "\\'")
        found = self._client.get(f"{API}/model-versions/search", filter=f"name='{quoted}'", max_results=1000)
        known = sorted(int(item["version"]) for item in found.get("model_versions", []))
        if known:
            newest = ", ".join(str(number) for number in known[-SHOWN:])
            return CliError(
                f"MLflow at {self.address.at} has no version {version} of {name!r}",
                f"It has {'' if len(known) <= SHOWN else '…, '}{newest}.",
            )
        return CliError(
            f"MLflow at {self.address.at} has no model {name!r}",
            "Log a model with registered_model_name=…, or train one: gauntlet train NAME",
        )
