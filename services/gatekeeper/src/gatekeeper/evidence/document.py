"""The evidence of a verdict, stored so that it can be re-evaluated: `Measurements` as a document and its arrays.

Golden rows are not copied: the document names their snapshot by digest. Long arrays are Parquet files named by digest,
so that a champion's predictions are stored once, however many challengers they are compared with.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import platform
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel

from contracts.policy import ModelPolicy
from gatekeeper.database.evidence_formats import FORMAT, Unreadable, same_keys
from gatekeeper.evaluation.measurements import Measurements

INLINE = 64
"""Arrays with up to this many elements are written into the document."""
LIBRARIES = ("mlflow", "numpy", "pandas", "scikit-learn", "pyarrow", "scipy")

Keep = Callable[[bytes], str]
"""Stores a file and returns its digest."""
Load = Callable[[str], bytes]

NOT_EVIDENCE = frozenset({"golden", "form"})
"""Fields of `Measurements` that are not stored: rows that the document names, and the serving artifact's data."""


def write(measurements: Measurements, policy: ModelPolicy, keep: Keep) -> dict[str, Any]:
    """Write the document as JSON; `keep` stores every long array as a Parquet file."""
    rows = measurements.golden
    found = {
        each.name: encode(getattr(measurements, each.name), keep)
        for each in dataclasses.fields(measurements)
        if each.name not in NOT_EVIDENCE
    }
    return {
        "format": FORMAT,
        "policy": policy.model_dump(mode="json"),
        "policy_digest": policy.digest,
        "measured": found,
        "golden": None
        if rows is None
        else {
            "digest": measurements.golden_digest,
            "label": rows.label,
            "entity": rows.entity,
            "event_time": rows.event_time,
            "found": rows.found,
            "unlabelled": rows.unlabelled,
            "used": len(rows.truth),
        },
        "versions": versions(),
    }


def read(document: Mapping[str, Any], load: Load) -> tuple[Measurements, ModelPolicy]:
    """Read everything but the golden rows, which the caller reads from their snapshot. Raises Unreadable.

    `document`: in the current format, as `upgraded` returns it.
    """
    try:
        measurements: Measurements = decode(Measurements, document["measured"], load, "measured", NOT_EVIDENCE)
        return measurements, ModelPolicy.model_validate(document["policy"])
    except Unreadable:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def versions() -> dict[str, str]:
    """Versions of Python and the numeric libraries: another version may compute another last digit."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


@cache
def _version(library: str) -> str:
    return importlib.metadata.version(library)  # parses the metadata file, several milliseconds


def to_parquet(array: NDArray[Any]) -> bytes:
    """Write one column for shape (n,), k columns for shape (n, k)."""
    columns = [array] if array.ndim == 1 else list(array.T)
    table = pa.table({str(number): pa.array(column) for number, column in enumerate(columns)})
    table = table.replace_schema_metadata({b"dimensions": str(array.ndim).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def from_parquet(content: bytes) -> NDArray[Any]:
    table = pq.read_table(io.BytesIO(content))
    columns = [column.to_numpy() for column in table.columns]
    if columns and columns[0].dtype == object:
        columns = [column.astype(str) for column in columns]
    flat = (table.schema.metadata or {}).get(b"dimensions") == b"1"
    found: NDArray[Any] = columns[0] if flat else np.column_stack(columns)
    return found


def encode(value: Any, keep: Keep) -> Any:
    """Encode as JSON; `keep` stores every long array as a Parquet file."""
    if isinstance(value, np.ndarray):
        if value.size <= INLINE:
            return {"array": value.tolist(), "dtype": value.dtype.str, "shape": list(value.shape)}
        return {"parquet": keep(to_parquet(value)), "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: encode(getattr(value, name), keep) for name in _stored(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(each, keep) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [encode(each, keep) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def decode(kind: Any, value: Any, load: Load, path: str, left_out: frozenset[str] = frozenset()) -> Any:
    """Decode `value` as the type that the annotation `kind` names; values without a specific type stay as in JSON.

    Raises Unreadable, with `path`, for an object whose fields differ from those of its dataclass less `left_out`.
    An event may have more fields: a newer writer may have added some.
    """
    if value is None or kind is Any:
        return value
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (only,) = (each for each in inner if each is not type(None))
        return decode(only, value, load, path)
    if origin is np.ndarray:
        return _array(value, load)
    if origin is tuple:
        return tuple(decode(inner[0], each, load, f"{path}[{number}]") for number, each in enumerate(value))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: decode(inner[1], each, load, f"{path}.{key}") for key, each in value.items()}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_validate(value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        names = frozenset(_stored(kind)) - left_out
        if not isinstance(value, Mapping):
            raise Unreadable(f"{path} is {value!r}, not an object")
        same_keys(path, value, names)
        return kind(**{name: decode(hints[name], value[name], load, f"{path}.{name}") for name in names})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return value


def _stored(kind: Any) -> list[str]:
    """Return the names of a dataclass's fields that are evidence, in their order."""
    return [each.name for each in dataclasses.fields(kind) if is_evidence(each)]


def is_evidence(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field is stored: one that only fills in others says `metadata={"evidence": False}`."""
    return bool(field.metadata.get("evidence", True))


def _array(value: Mapping[str, Any], load: Load) -> NDArray[Any]:
    if "parquet" in value:
        found = from_parquet(load(value["parquet"])).astype(value["dtype"])
    else:
        found = np.array(value["array"], dtype=value["dtype"])
    return found.reshape(value["shape"])
