"""What a model takes: its MLflow signature and Gauntlet metadata, as the columns that rows are read by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.models import Model
from mlflow.types import DataType

from chassis.errors import Permanent

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


@dataclass(frozen=True, slots=True)
class Column:
    """A feature; `kind` is MLflow's name of its type."""

    name: str
    kind: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """The features, the roles of the columns beside them, and what the answers mean.

    `problem` is None for a model that does not say; then the shape of its answers tells.
    """

    columns: tuple[Column, ...]
    entity: str | None = None
    event_time: str | None = None
    label: str | None = None
    problem: str | None = None
    classes: tuple[Any, ...] | None = None


def read_signature(model: Model) -> Signature:
    """Raises Permanent for a model whose rows could not be validated, saying what to log it with."""
    schema: Any = model.get_input_schema()  # type: ignore[no-untyped-call]
    if schema is None:
        raise Permanent("the model has no signature: log it with signature=infer_signature(features, predictions)")
    if schema.is_tensor_spec() or not all(column.name for column in schema.inputs):
        raise Permanent("the model's signature has no named columns: infer it from a DataFrame")
    roles = _roles(model.metadata or {})
    return Signature(columns=tuple(_column(spec) for spec in schema.inputs), **roles)


def _column(spec: Any) -> Column:
    if not isinstance(spec.type, DataType) or spec.type not in KINDS:  # an Array, Object or Map is not hashable
        raise Permanent(f"column {spec.name!r} has type {spec.type}; served columns are {', '.join(KINDS.values())}")
    return Column(spec.name, KINDS[spec.type], bool(spec.required))


def _roles(metadata: Mapping[str, Any]) -> dict[str, Any]:
    found = metadata.get("gauntlet") or {}
    if not isinstance(found, Mapping):
        raise Permanent(f"the model's metadata 'gauntlet' is {found!r}; expected a mapping")
    problem, classes = found.get("problem"), found.get("classes")
    if problem is not None and problem not in PROBLEMS:
        raise Permanent(f"the model's problem is {problem!r}; expected one of {', '.join(PROBLEMS)}")
    if classes is not None and not isinstance(classes, list | tuple):
        raise Permanent(f"the model's classes are {classes!r}; expected a list")
    names = {role: str(found[role]) for role in ("entity", "event_time", "label") if found.get(role)}
    return {"problem": problem, "classes": tuple(classes) if classes else None, **names}
