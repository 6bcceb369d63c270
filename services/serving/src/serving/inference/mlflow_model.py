"""Load a model version from its MLflow folder: the pyfunc, its signature and Gauntlet metadata, its input example.

Only this module and others that need a model import MLflow and pandas: the service starts without them.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import Model
from mlflow.types import DataType

from chassis.errors import Permanent, Transient
from chassis.scoring import scorer_of
from contracts import OutputFormat
from serving.inference.hosted_model import HostedModel, brings_code
from serving.inference.model import LoadedModel, first_line
from serving.inference.signature import Column, Signature
from serving.inference.validation import Row
from serving.policy.versions import Artifact

KINDS = {
    DataType.double: "double",
    DataType.float: "float",
    DataType.long: "long",
    DataType.integer: "integer",
    DataType.boolean: "boolean",
    DataType.string: "string",
    DataType.datetime: "datetime",
}
PROBLEMS = ("binary", "multiclass", "regression")


def load(artifact: Artifact, folder: Path, seconds: float = 300.0) -> LoadedModel:
    """Load a model. Blocks; `seconds` limits a model that is loaded in a process of its own (`hosted_model`).

    Raises Permanent for what will never load, Transient when resources are short.
    """
    pyfunc: Any
    sys.dont_write_bytecode = True  # a model's own code would leave .pyc files in the cache, and change its digest
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            problem = artifact.output.problem if artifact.output else None
            if brings_code(folder):
                hosted = HostedModel(folder, seconds, problem)
                pyfunc, scorer = hosted, hosted.scorer
            else:
                pyfunc = mlflow.pyfunc.load_model(str(folder))
                scorer = scorer_of(pyfunc, problem)
        signature = read_signature(pyfunc.metadata, artifact.output)
        signature = replace(signature, classes=signature.classes or scorer.classes)
        example = _example(pyfunc, signature)
    except (Permanent, Transient):
        raise
    except MemoryError as error:
        raise Transient("not enough memory to load the model") from error
    except (Exception, SystemExit) as error:  # unpickling runs the model's own code
        raise Permanent(f"cannot load the model: {type(error).__name__}: {first_line(error)}") from error
    return LoadedModel(artifact, signature, example, pyfunc, scorer)


def read_signature(model: Model, output: OutputFormat | None = None) -> Signature:
    """Return the signature; `output` is how the gates read its predictions, if they did.

    Raises Permanent, with how to log the model, when its rows could not be validated.
    """
    schema: Any = model.get_input_schema()  # type: ignore[no-untyped-call]
    if schema is None:
        raise Permanent("the model has no signature: log it with signature=infer_signature(features, predictions)")
    if schema.is_tensor_spec() or not all(column.name for column in schema.inputs):
        raise Permanent("the model's signature has no named columns: infer it from a DataFrame")
    roles = _roles(model.metadata or {}, output)
    return Signature(columns=tuple(_column(spec) for spec in schema.inputs), **roles)


def _column(spec: Any) -> Column:
    if not isinstance(spec.type, DataType) or spec.type not in KINDS:  # an Array, Object or Map is not hashable
        raise Permanent(f"column {spec.name!r} has type {spec.type}; served columns are {', '.join(KINDS.values())}")
    return Column(spec.name, KINDS[spec.type], bool(spec.required))


def _roles(metadata: Mapping[str, Any], output: OutputFormat | None) -> dict[str, Any]:
    found = metadata.get("gauntlet") or {}
    if not isinstance(found, Mapping):
        raise Permanent(f"the model's metadata 'gauntlet' is {found!r}; expected a mapping")
    if output is not None:  # not what the model says of itself: it was judged by these
        judged = {"problem": output.problem, "classes": output.classes or None, "label": output.label}
        found = {**found, **judged}
    problem, classes = found.get("problem"), found.get("classes")
    if problem is not None and problem not in PROBLEMS:
        raise Permanent(f"the model's problem is {problem!r}; expected one of {', '.join(PROBLEMS)}")
    if classes is not None and not isinstance(classes, list | tuple):
        raise Permanent(f"the model's classes are {classes!r}; expected a list")
    names = {role: str(found[role]) for role in ("entity", "event_time", "label") if found.get(role)}
    return {"problem": problem, "classes": tuple(classes) if classes else None, **names}


def _example(pyfunc: Any, signature: Signature) -> list[Row]:
    frame = pyfunc.input_example
    names = [column.name for column in signature.columns]
    if not isinstance(frame, pd.DataFrame):
        return []
    present = [name for name in names if name in frame.columns]
    rows: list[Row] = json.loads(frame[present].to_json(orient="records", date_format="iso", double_precision=15))
    return rows
