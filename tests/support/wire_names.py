"""The names that leave the code: what other programs, other versions and the disk know.

`make docs` (`python -m support.wire_names` in it) writes the golden file anew after a name was added. To remove or to
rename one breaks its readers: stored evidence, dashboards, clients, a database that an older build has written.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import re
import tempfile
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from fastapi import FastAPI
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from chassis import registry as mlflow_registry
from chassis import row_keys
from chassis.database import Base
from chassis.job_worker import JobWorker
from chassis.settings import ServiceSettings
from chassis.topics import topic_specs
from contracts import EVENTS, PredictionMade, new_envelope
from contracts.cloudevents import Record, encode
from contracts.dead_letters import letter_for
from contracts.policy import ModelPolicy
from forms import artifact
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import store
from gatekeeper.evidence.document import is_evidence
from gatekeeper.promotion.mlflow_mirror import Aliases
from gatekeeper.tournaments.comparison import TournamentInput
from gauntlet.cli import app as command_line
from gauntlet.stack_file import STACK_FILE, StackState
from trainer.spec import TrainingTask
from trainer.training.fit import TrainedModel

GOLDEN = Path(__file__).parents[1] / "unit" / "wire_names.json"
SERVICES = ("trainer", "gatekeeper", "serving", "drift")
PACKAGES = ("contracts", "chassis", "embedded_kafka", "forms", *SERVICES, "gauntlet")

TAG = re.compile(r"gauntlet\.[a-z_]+")
VARIABLE = re.compile(
    r"(GAUNTLET|EMBEDDED_KAFKA|MLFLOW|TRAINER|GATEKEEPER|SERVING|STAGING|DRIFT|FEATURES|CHURN)_[A-Z_]+"
    r"|DATABASE_URL|POLICIES_DIR|DATA_DIR|TOPIC_PREFIX|PROMETHEUS_MULTIPROC_DIR"
)
HEADER = re.compile(r"x-[a-z]+(-[a-z]+)*|inference-header-[a-z-]+", re.IGNORECASE)


def wire_names() -> dict[str, list[str]]:
    """Sorted names, by kind."""
    modules = [module for package in PACKAGES for module in _modules(package)]
    literals = set(_literals(modules))
    with tempfile.TemporaryDirectory() as folder:
        apps = {service: _app(service, Path(folder)) for service in SERVICES}
    found = {
        "topics": (spec.name for spec in topic_specs()),
        "events": (f"{event.topic} {event.type} {path}" for event in EVENTS for path in _schema_paths(event)),
        "kafka headers": _kafka_headers(),
        "policy keys": _schema_paths(ModelPolicy),
        "metrics": _metrics(modules),
        "mlflow": _mlflow(literals),
        "tables": _tables(),
        "http": (f"{service} {line}" for service, app in apps.items() for line in _http(app)),
        "http headers": (text.lower() for text in literals if HEADER.fullmatch(text)),
        "job kinds": (f"{service} {kind}" for service, app in apps.items() for kind in _job_kinds(app)),
        "job payloads": (f"trainer train {path}" for path in _schema_paths(TrainingTask)),
        "settings": (f"{service} {name}" for service in SERVICES for name in _settings(service)),
        "environment": (text for text in literals if VARIABLE.fullmatch(text) and not text.endswith("_")),
        "command line": _commands(typer.main.get_command(command_line)),
        "evidence": [*_field_paths("measured", Measurements), *_field_paths("contest", TournamentInput)],
        "files": _files(),
    }
    return {kind: sorted(set(names)) for kind, names in found.items()}


def differences(golden: Mapping[str, Iterable[str]], found: Mapping[str, Iterable[str]]) -> list[str]:
    """A line a name that went missing or was added, with its kind; empty when there is none."""
    lines = []
    for kind in sorted({*golden, *found}):
        before, now = set(golden.get(kind, ())), set(found.get(kind, ()))
        lines += [f"{kind}: missing: {name}" for name in sorted(before - now)]
        lines += [f"{kind}: added: {name}" for name in sorted(now - before)]
    return lines


def _modules(package: str) -> Iterator[types.ModuleType]:
    """All of a package that can be imported without running it."""
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not {"__main__", "migrations"} & set(found.name.split(".")):
            yield importlib.import_module(found.name)


def _literals(modules: Iterable[types.ModuleType]) -> Iterator[str]:
    """Every string in the source, except docstrings and such as name a module of ours."""
    ours = {module.__name__ for module in modules}
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                if text not in ours:
                    yield text


def _app(service: str, folder: Path) -> FastAPI:
    """Built as by its main(), and not started: nothing is connected."""
    before = os.environ.get("DATA_DIR")
    os.environ["DATA_DIR"] = str(folder)
    try:
        settings = importlib.import_module(f"{service}.settings").Settings(_env_file=None)
        app: FastAPI = importlib.import_module(f"{service}.app").build(settings)
    finally:
        del os.environ["DATA_DIR"]
        if before is not None:
            os.environ["DATA_DIR"] = before
    return app


def _schema_paths(model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema()
    return _paths(schema, schema.get("$defs", {}))


def _paths(node: Any, definitions: Mapping[str, Any], at: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Dotted paths of all properties of a JSON Schema; `[]` for items, `{}` for the values of free keys."""
    if not isinstance(node, Mapping):
        return
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        if name not in above:
            yield from _paths(definitions[name], definitions, at, (*above, name))
        return
    for each in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        yield from _paths(each, definitions, at, above)
    for name, child in node.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from _paths(child, definitions, path, above)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        yield from _paths(node.get(key), definitions, at + mark, above)
    for each in node.get("prefixItems", ()):
        yield from _paths(each, definitions, f"{at}[]", above)


def _field_paths(at: str, kind: Any) -> Iterator[str]:
    """Dotted paths of the fields of dataclasses and pydantic models, as evidence.encode writes them."""
    inner = typing.get_args(kind)
    if inner:
        for each in inner:
            yield from _field_paths(at, each)
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        for field in filter(is_evidence, dataclasses.fields(kind)):
            yield f"{at}.{field.name}"
            yield from _field_paths(f"{at}.{field.name}", hints[field.name])
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from (f"{at}.{path}" for path in _schema_paths(kind))


def _kafka_headers() -> Iterator[str]:
    event = PredictionMade.model_construct(model_name="m", model_version=1)
    envelope = new_envelope(event, source="s").model_copy(update={"traceparent": "t", "causation_id": "c"})
    yield from (f"event {name}" for name, _ in encode(envelope).headers)
    nothing = Record("t", b"k", None, [])
    letter = letter_for(nothing, service="s", partition=0, offset=0, error="e", attempts=1)
    yield from (f"dead letter {name}" for name, _ in letter.encode()[2])


def _metrics(modules: Iterable[types.ModuleType]) -> Iterator[str]:
    for module in modules:
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase):
                for family in metric.describe():
                    yield f"{family.type} {family.name} {{{', '.join(metric._labelnames)}}}"


def _mlflow(literals: Iterable[str]) -> Iterator[str]:
    yield from (f"tag or metadata {text}" for text in literals if TAG.fullmatch(text))
    yield from (f"alias {field.name}" for field in dataclasses.fields(Aliases))
    yield f"tag {mlflow_registry.OWN_RUN_TAG}"
    yield f"experiment {store.EXPERIMENT}"
    yield f"artifact path {store.OBJECTS}"
    yield f"metadata {row_keys.METADATA.decode()}"


def _tables() -> Iterator[str]:
    for mapper in Base.registry.mappers:
        owner, table = mapper.class_.__module__.split(".")[0], mapper.local_table
        if owner in PACKAGES:
            yield from (f"{owner} {table.name}.{column.name}" for column in table.columns)  # type: ignore[attr-defined]


def _http(app: FastAPI) -> Iterator[str]:
    """Methods and paths; parameters and the fields of requests and of 2xx responses, where a handler declares them."""
    document = app.openapi()
    definitions = document.get("components", {}).get("schemas", {})
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            at = f"{method.upper()} {path}"
            yield at
            yield from (f"{at} {each['in']} {each['name']}" for each in operation.get("parameters", ()))
            for _, content in operation.get("requestBody", {}).get("content", {}).items():
                fields = _paths(content.get("schema"), definitions)
                yield from (f"{at} request {each}" for each in fields if not each.startswith("policy."))
            for status, response in operation["responses"].items():
                for _, content in response.get("content", {}).items() if status.startswith("2") else ():
                    yield from (f"{at} {status} {each}" for each in _paths(content.get("schema"), definitions))


def _job_kinds(app: FastAPI) -> Iterator[str]:
    for part in app.state.parts:
        if isinstance(part, JobWorker):
            yield from part._runners


def _settings(service: str) -> Iterator[str]:
    settings: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        yield (field.alias or prefix + name).upper()


def _commands(command: Any, path: str = "gauntlet") -> Iterator[str]:
    yield path
    for parameter in command.params:
        options = [*parameter.opts, *parameter.secondary_opts]
        kind = "argument" if parameter.param_type_name == "argument" else "option"
        yield from (f"{path} {kind} {name}" for name in options)
        variables = parameter.envvar if isinstance(parameter.envvar, list) else [parameter.envvar]
        yield from (f"{path} variable {name}" for name in variables if name)
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, f"{path} {name}")


def _files() -> Iterator[str]:
    """Files of ours that a later version reads, or another process."""
    with tempfile.TemporaryDirectory() as folder:
        artifact.ServingArtifact(b"", artifact.RecordedPredictions([{}], [0])).write(Path(folder))
        for file in Path(folder).iterdir():
            yield f"serving artifact {file.name}"
            if file.suffix == ".json":
                yield from (f"serving artifact {file.name} {key}" for key in json.loads(file.read_text()))
    yield from (f"{STACK_FILE} {path}" for path in _schema_paths(StackState))
    yield from (f"training made.json {path}" for path in _schema_paths(TrainedModel))
    yield from (f"row keys {kind}" for kind in row_keys.KINDS)


def main() -> None:
    GOLDEN.write_text(json.dumps(wire_names(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
