"""What serving requires of a loaded model: a replica and the gate's sandbox check it here, with the same words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import Model
from mlflow.types import DataType

from chassis.errors import Permanent
from chassis.mlmodel import TENSOR_KINDS, WIDEST
from chassis.model_signature import Column, Signature
from chassis.row_reader import RowReader
from chassis.row_validation import Row, RowsRefused
from chassis.scoring import Scorer
from chassis.telemetry import get_logger
from contracts import OutputFormat

KINDS = {
    DataType.double: "double",
    DataType.float: "float",
    DataType.long: "long",
    DataType.integer: "integer",
    DataType.boolean: "boolean",
    DataType.string: "string",
    DataType.datetime: "datetime",
}
ROLES = ("label", "entity", "event_time")
PROBLEMS = ("binary", "multiclass", "regression")
FROM_A_FRAME = "infer it from a DataFrame: infer_signature(features, predictions)"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Servable:
    """How the rows of a model are read. `example`: those of its input example as they would be sent, if they fit."""

    signature: Signature
    reader: RowReader
    example: Sequence[Row]


def servable(pyfunc: Any, scorer: Scorer, output: OutputFormat | None) -> Servable:
    """Return how a loaded model is served; `output` is how the gates read its predictions, if they did.

    Raises Permanent, with how to log the model, for one whose rows could not be read.
    """
    signature = read_signature(pyfunc.metadata, output)
    signature = replace(signature, classes=signature.classes or scorer.classes)
    reader = RowReader(signature)
    return Servable(signature, reader, _example(pyfunc.input_example, signature, reader))


def read_signature(model: Model, output: OutputFormat | None = None) -> Signature:
    """Return the signature, with the roles of the metadata, or of `output`. Raises Permanent, as `servable` does."""
    schema: Any = model.get_input_schema()  # type: ignore[no-untyped-call]
    if schema is None:
        raise Permanent("the model has no signature: log it with signature=infer_signature(features, predictions)")
    columns = _of_tensor(schema) if schema.is_tensor_spec() else _of_table(schema)
    return Signature(columns=columns, is_tensor=schema.is_tensor_spec(), **_roles(model.metadata or {}, output))


def _of_table(schema: Any) -> tuple[Column, ...]:
    specs = list(schema.inputs)
    if any(spec.name is None or spec.name == "" for spec in specs):
        what = ", ".join(_named(spec.type) for spec in specs)
        why = (
            "; one column of a type that MLflow does not know, such as uint64, timedelta or Decimal, is enough: convert"
            ' it first, as with features.astype({"amount": "float64"})'
        )
        hint = why if what == "Any" else ""
        raise Permanent(f"the model's signature has no named columns, but {what}: {FROM_A_FRAME}{hint}")
    columns = tuple(_column(spec) for spec in specs)
    (name, times), *_ = Counter(column.name for column in columns).most_common(1)
    if times > 1:
        raise Permanent(f"{times} columns of the model's signature are named {name!r}: rename all but one")
    return columns


def _column(spec: Any) -> Column:
    if not isinstance(spec.type, DataType) or spec.type not in KINDS:  # an Array, Object or Map is not hashable
        kind, served = _named(spec.type), ", ".join(KINDS.values())
        raise Permanent(
            f"column {spec.name!r} has type {kind}; served columns are {served}: make several columns of it, or a text"
            " that the model's own code parses, and infer the signature from those"
        )
    return Column(str(spec.name), KINDS[spec.type], bool(spec.required))


def _named(kind: Any) -> str:
    return str(kind.name) if isinstance(kind, DataType) else str(kind)


def _of_tensor(schema: Any) -> tuple[Column, ...]:
    """Return the columns of a matrix, named by their position."""
    spec = schema.inputs[0]
    if len(schema.inputs) > 1 or spec.name:
        raise Permanent(f"the model takes named tensors ({schema}); served are tables, and one matrix: {FROM_A_FRAME}")
    shape, dtype = tuple(spec.shape), np.dtype(spec.type).name
    if len(shape) != 2 or shape[0] != -1 or not 0 < shape[1] <= WIDEST:
        raise Permanent(
            f"the model takes a tensor of shape {shape}; served are tables, and a matrix of shape (-1, columns): log a"
            " model whose predict reshapes such a matrix"
        )
    if dtype not in TENSOR_KINDS:
        raise Permanent(
            f"the model takes a tensor of {dtype}; served are those of {', '.join(TENSOR_KINDS)}: infer the signature"
            " from features.astype('float64'), or from a DataFrame"
        )
    return tuple(Column(str(place), TENSOR_KINDS[dtype]) for place in range(shape[1]))


def _roles(metadata: Mapping[str, Any], output: OutputFormat | None) -> dict[str, Any]:
    found = metadata.get("gauntlet") or {}
    if not isinstance(found, Mapping):
        raise Permanent(f"the model's metadata 'gauntlet' is {found!r}; expected a mapping")
    if output is not None:  # not what the model says of itself: it was judged by these
        roles = {name: getattr(output, name) or found.get(name) for name in ROLES}
        found = {**found, "problem": output.problem, "classes": output.classes or None, **roles}
    problem, classes = found.get("problem"), found.get("classes")
    if problem is not None and problem not in PROBLEMS:
        raise Permanent(f"the model's problem is {problem!r}; expected one of {', '.join(PROBLEMS)}")
    if classes is not None and not isinstance(classes, list | tuple):
        raise Permanent(f"the model's classes are {classes!r}; expected a list")
    names = {role: str(found[role]) for role in ROLES if found.get(role)}
    return {"problem": problem, "classes": tuple(classes) if classes else None, **names}


def _example(given: Any, signature: Signature, reader: RowReader) -> Sequence[Row]:
    """Return the rows of an input example; none for one that a request could not have, or of another form."""
    if isinstance(given, np.ndarray) and signature.is_tensor:
        given = pd.DataFrame(given) if given.ndim == 2 else None
    if not isinstance(given, pd.DataFrame):
        return []
    frame = given.set_axis([str(name) for name in given.columns], axis=1)
    present = [column.name for column in signature.columns if column.name in frame.columns]
    rows: list[Row] = json.loads(frame[present].to_json(orient="records", date_format="iso", double_precision=15))
    try:
        reader.read(rows, len(rows))
    except RowsRefused as refused:
        log.warning("the model's input example is not used", reason=str(refused))
        return []
    return rows
