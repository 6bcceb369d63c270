"""MLflow client: versions, runs, artifacts, aliases; maps errors to Transient and Permanent.

The library takes more than a second of CPU to import, so it is imported by the first call that needs it: a service
that neither trains nor loads models imports it only through these methods.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import ssl
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import certifi

from chassis.errors import NotFound, Permanent, Transient
from chassis.locations import Locations
from chassis.uris import prefixes_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

MLFLOW_NOTE = "registered_model_meta"
OWN_RUN_TAG = "gauntlet.keeps"
WINDOW_METRICS = "gauntlet.window."
"""Prefix of the metrics of production that are logged to a version's run: they are not of its training."""

LOGGED_MODEL_URI = re.compile(r"models:/(m-[0-9a-f]{32})/?")
VERSION_URI = re.compile(r"models:/([^/@]+)/(\d+)/?")

MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"}
BUSY = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "IO_ERROR", "DEADLINE_EXCEEDED"}


@dataclass(frozen=True)
class RegisteredVersion:
    """`source` is the artifact URI to load from."""

    name: str
    version: int
    run_id: str | None
    source: str
    created_at: datetime
    tags: Mapping[str, str]
    user: str | None = None
    """Who registered it, as far as MLflow knows."""


@dataclass(frozen=True)
class RegisteredModel:
    """`changed` is MLflow's time of the last change: it advances when a version is created."""

    name: str
    aliases: Mapping[str, int]
    changed: int | None


class MetricPoint(NamedTuple):
    """A value of a metric at a step of a run."""

    name: str
    value: float
    step: int
    at: datetime


def logged_metrics(run: Run) -> dict[str, float]:
    """Return the finite metrics that the training of a version logged."""
    found = run.data.metrics.items()
    return {name: value for name, value in found if math.isfinite(value) and not name.startswith(WINDOW_METRICS)}


class Registry:
    """A client of one MLflow server. Raises Transient when it is unavailable or busy, NotFound for missing objects."""

    def __init__(self, tracking_uri: str, *, timeout_seconds: int = 10, allowed_uris: str = "") -> None:
        """`allowed_uris`: what ALLOWED_URI_PREFIXES is. Raises ValueError for prefixes that cannot be used."""
        self.tracking_uri = tracking_uri
        self._prefixes = prefixes_of(allowed_uris)
        # MLflow reads these itself; our own ordered retries happen in the callers.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(timeout_seconds))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ["MLFLOW_TRACKING_URI"] = tracking_uri

    @cached_property
    def client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri)

    @cached_property
    def locations(self) -> Locations:
        return Locations(self.client, self.tracking_uri, self._prefixes)

    def check(self) -> None:
        """Raises Transient or Permanent when MLflow does not respond, or refuses the credentials.

        Until the library is imported, only the health endpoint is checked: `/ready` does not wait for the import.
        """
        if hasattr(sys.modules.get("mlflow"), "MlflowClient"):
            self._ask(lambda: self.client.search_registered_models(max_results=1))
        else:
            check_mlflow(self.tracking_uri)

    def version(self, model_name: str, model_version: int) -> RegisteredVersion:
        return _version(self._ask(lambda: self.client.get_model_version(model_name, str(model_version))))

    def versions(self, model_name: str) -> list[RegisteredVersion]:
        """Return all versions, oldest first; an empty list for an unknown model."""
        quoted = model_name.replace("'", "\\'")
        found = self._pages(lambda token: self.client.search_model_versions(f"name='{quoted}'", page_token=token))
        return sorted((_version(item) for item in found), key=lambda item: item.version)

    def models(self) -> list[RegisteredModel]:
        """Return all registered models; one request per hundred models."""
        found = self._pages(lambda token: self.client.search_registered_models(page_token=token))
        return [
            RegisteredModel(
                item.name, {alias: int(version) for alias, version in item.aliases.items()}, item.last_updated_timestamp
            )
            for item in found
        ]

    def aliases(self, model_name: str) -> dict[str, int]:
        """Return the aliases of a model. Raises NotFound for an unknown model."""
        model = self._ask(lambda: self.client.get_registered_model(model_name))
        return {alias: int(version) for alias, version in model.aliases.items()}

    def set_alias(self, model_name: str, alias: str, model_version: int) -> None:
        self._ask(lambda: self.client.set_registered_model_alias(model_name, alias, str(model_version)))

    def delete_alias(self, model_name: str, alias: str) -> None:
        self._ask(lambda: self.client.delete_registered_model_alias(model_name, alias))

    def tag_version(self, model_name: str, model_version: int, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._ask(partial(self.client.set_model_version_tag, model_name, str(model_version), key, value))

    def run(self, run_id: str) -> Run:
        return self._ask(lambda: self.client.get_run(run_id))

    @property
    def is_here(self) -> bool:
        """Whether MLflow is on this machine, so that paths mean the same files to both."""
        address = urllib.parse.urlsplit(self.tracking_uri)
        return not address.scheme.startswith("http") or address.hostname in ("localhost", "127.0.0.1", "::1")

    def artifacts(self, run_id: str, folder: str | None = None) -> set[str]:
        """Return the paths, within a run, of the files and folders directly below `folder`."""
        self._check_run(run_id, folder)
        return {item.path for item in self._ask(lambda: self.client.list_artifacts(run_id, folder))}

    def upload(self, run_id: str, path: Path, folder: str) -> str:
        """Log a file to a run and return its URI. Raises Refused, as `upload_folder` and `upload_text` do, where the
        run's artifacts are in no place of the registry."""
        self._check_run(run_id, folder)
        self._ask(lambda: self.client.log_artifact(run_id, str(path), folder))
        return f"runs:/{run_id}/{folder}/{path.name}"

    def upload_folder(self, run_id: str, path: Path, folder: str) -> str:
        """Log the files of a folder to a run, below `folder`, and return their URI."""
        self._check_run(run_id, folder)
        self._ask(lambda: self.client.log_artifacts(run_id, str(path), folder))
        return f"runs:/{run_id}/{folder}"

    def upload_text(self, run_id: str, text: str, path: str) -> None:
        """Log a text to a run at this path."""
        self._check_run(run_id, path)
        self._ask(lambda: self.client.log_text(run_id, text, path))

    def log_metrics(self, run_id: str, points: Sequence[MetricPoint]) -> None:
        """Log points to a run. A point that it already has, with this step, time and value, stays one."""
        from mlflow.entities import Metric

        metrics = [Metric(each.name, each.value, int(each.at.timestamp() * 1000), each.step) for each in points]
        self._ask(lambda: self.client.log_batch(run_id, metrics=metrics))

    def own_run(self, experiment: str, key: str) -> str:
        """Return the id of Gauntlet's own run for the artifacts of `key`; create it if there is none."""

        def find_or_make() -> str:
            found = self.client.get_experiment_by_name(experiment)
            where = found.experiment_id if found else self.client.create_experiment(experiment)
            quoted = key.replace("'", "\\'")
            runs = self.client.search_runs([where], f"tags.`{OWN_RUN_TAG}` = '{quoted}'", order_by=["start_time ASC"])
            run = runs[0] if runs else self.client.create_run(where, run_name=key, tags={OWN_RUN_TAG: key})
            return str(run.info.run_id)

        return self._ask(find_or_make)

    def download(self, uri: str, into: Path) -> Path:
        """Download a file or a folder into `into`, completely or not at all. Returns its path.

        The content does not depend on the URI: MLflow's note of the requested name is removed. Raises Refused for an
        address outside the registry and the configured stores, NotFound for one at which there is nothing, Permanent
        for one that cannot be read from here.
        """
        from mlflow.artifacts import download_artifacts

        into.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".download-", dir=into))
        try:
            with mlflow_errors(self.tracking_uri):
                opened = self.locations.opened(uri)
            with mlflow_errors(self.tracking_uri), _download_errors(uri):
                found = self._located(opened)
                fetched = Path(
                    download_artifacts(artifact_uri=found, dst_path=str(scratch), tracking_uri=self.tracking_uri)
                )
            # A folder of a registered version is downloaded as itself, "runs:/…/model" as a subfolder.
            target = into / ("model" if fetched == scratch or found != opened else fetched.name)
            if fetched.is_dir():
                (fetched / MLFLOW_NOTE).unlink(missing_ok=True)
            if target.is_dir():
                shutil.rmtree(target)
            return fetched.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _located(self, uri: str) -> str:
        """Return where the files of a logged model (models:/m-…) or of a version (models:/NAME/1) are.

        MLflow would ask the default server of the process, whatever server it is given (findings/
        mlflow-download-of-a-logged-model-ignores-its-tracking-uri.sh).
        """
        if self.tracking_uri.startswith("databricks"):  # whose registry has repositories of its own
            return uri
        if version := VERSION_URI.fullmatch(uri):
            uri = self.client.get_model_version_download_uri(version[1], version[2])
        if logged := LOGGED_MODEL_URI.fullmatch(uri):
            uri = self.client.get_logged_model(logged[1]).artifact_location
        return uri

    def check_uri(self, uri: str) -> None:
        """Raises Refused for an address that this service must not open or give on, NotFound, Transient."""
        with mlflow_errors(self.tracking_uri):
            self.locations.opened(uri)

    def _check_run(self, run_id: str, path: str | None) -> None:
        self.check_uri(f"runs:/{run_id}/{path}" if path else f"runs:/{run_id}")

    def _pages(self, page: Callable[[str | None], Any]) -> Iterator[Any]:
        token: str | None = None
        while True:
            found = self._ask(partial(page, token))
            yield from found
            token = found.token
            if not token:
                return

    def _ask(self, question: Callable[[], T]) -> T:
        with mlflow_errors(self.tracking_uri):
            return question()


@contextmanager
def mlflow_errors(tracking_uri: str) -> Iterator[None]:
    """Map MLflow's exceptions. MLflow wraps connection errors, so only their text identifies them."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except MlflowException as error:
        text = str(error).strip().splitlines()[0]
        if error.error_code in MISSING and "API request to" not in text:
            raise NotFound(text) from error
        if error.error_code in BUSY or "API request to" in text:
            raise Transient(f"MLflow at {tracking_uri}: {text}") from error
        raise Permanent(f"MLflow at {tracking_uri}: {text}") from error
    except (RequestException, ConnectionError) as error:
        raise Transient(f"MLflow at {tracking_uri}: {error}") from error
    except FileNotFoundError as error:
        raise NotFound(str(error)) from error


@contextmanager
def _download_errors(uri: str) -> Iterator[None]:
    """Say what is not there. MLflow says "please ensure that the path is correct", or dumps the server's response.

    Of the latter only the text shows that it was a 404; MLflow calls it an internal error.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        text = str(error)
        if "Not a proper" in text:
            raise NotFound(f"{uri!r} is no address of an artifact") from error
        failed = "ensure that the path is correct" in text or "failures occurred while downloading" in text
        if failed and (error.error_code == "RESOURCE_DOES_NOT_EXIST" or _is_absent(text)):
            raise NotFound(_absent(uri)) from error
        raise
    except ModuleNotFoundError as error:
        raise Permanent(f"{uri} cannot be read here: the package {error.name!r} is not installed") from error
    except ValueError as error:
        raise NotFound(f"{uri!r} is no address that MLflow can download from: {error}") from error


def _is_absent(text: str) -> bool:
    """Whether every failure of a download is that there is nothing."""
    failures = text.split("##### File ")[1:]
    return bool(failures) and all("404 Client Error" in each or "No such artifact" in each for each in failures)


def _absent(uri: str) -> str:
    run, _, path = uri.removeprefix("runs:/").partition("/")
    return f"run {run} has no artifact {path!r}" if uri.startswith("runs:/") else f"there is nothing at {uri}"


def check_mlflow(tracking_uri: str, seconds: float = 5.0) -> None:
    """Raises Transient when MLflow does not respond. Any status below 500 passes: the health path varies.

    Does not use the library, which a service that has just started would have to import for its first `/ready`.
    """
    if not tracking_uri.startswith(("http://", "https://")):
        return
    try:
        tls = _tls() if tracking_uri.startswith("https://") else None
        with urllib.request.urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=seconds, context=tls):
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return
        raise Transient(f"MLflow at {tracking_uri} answers {error.code}") from error
    except OSError as error:
        raise Transient(f"MLflow at {tracking_uri} does not answer: {error}") from error


def _tls() -> ssl.SSLContext:
    """Return a TLS context with the trust settings of MLflow's client. Raises OSError for an unreadable file."""
    trusted = (os.environ.get(name) for name in ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"))
    context = ssl.create_default_context(cafile=next(filter(None, trusted), certifi.where()))
    if own := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        context.load_cert_chain(own)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _version(item: Any) -> RegisteredVersion:
    return RegisteredVersion(
        name=item.name,
        version=int(item.version),
        run_id=item.run_id or None,
        source=item.source,
        created_at=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
        tags=dict(item.tags or {}),
        user=item.user_id or None,
    )
