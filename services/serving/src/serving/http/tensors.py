"""Convert tensors of the Open Inference Protocol, JSON and binary, to rows; and columns of predictions to tensors."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from chassis.row_validation import shown

DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
"""Little-endian, like the machines this runs on; BYTES is the only type that is no array of numbers."""

OF_KINDS = {
    "double": "FP64",
    "float": "FP32",
    "long": "INT64",
    "integer": "INT32",
    "boolean": "BOOL",
    "string": "BYTES",
    "datetime": "BYTES",
}
"""The datatype of each type of a signature; a time is ISO 8601."""

WRAPPINGS: dict[str, Callable[[str], Any]] = {
    "pd_json": orjson.loads,
    "base64": lambda text: base64.b64decode(text, validate=True).decode(),
}
"""How to decode each of BYTES from MLServer's codecs, by `content_type`; undecoded, the wrapping would be the value."""

MOST_DIMENSIONS = 2
"""The limit for a shape, and for nested lists: rows and columns."""


class BadTensor(ValueError):
    """A tensor is invalid; the message describes why."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`values` are flat, in row-major order, as JSON values; a NaN is None: a missing value."""

    name: str
    shape: tuple[int, ...]
    values: list[Any]


def read_tensor(spec: Any, binary: memoryview, max_rows: int) -> tuple[Tensor, int]:
    """Return the tensor that `spec` describes, and how many bytes of `binary` it took. Raises BadTensor."""
    if not isinstance(spec, dict) or not isinstance(name := spec.get("name"), str):
        raise BadTensor("an input has no name: expected {name, shape, datatype, data}")
    shape, datatype, said = spec.get("shape"), spec.get("datatype"), _input(name)
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape[:3]) or not shape:
        raise BadTensor(f"{said} has shape {_cut(shape)}; expected an array of whole numbers")
    if len(shape) > MOST_DIMENSIONS:
        raise BadTensor(f"{said} has {len(shape):,} dimensions; expected [n] or [n, columns]")
    if shape[0] > max_rows:
        raise BadTensor(f"{said} has {shape[0]:,} rows; at most {max_rows:,} a request (SERVING_MAX_ROWS)")
    if datatype != "BYTES" and (not isinstance(datatype, str) or datatype not in DTYPES):
        known = ", ".join([*DTYPES, "BYTES"])
        raise BadTensor(f"{said} has datatype {_cut(datatype)}; expected one of {known}")
    given = spec.get("parameters")
    parameters: dict[str, Any] = given if isinstance(given, dict) else {}
    size = parameters.get("binary_data_size")
    if size is None:
        values, taken = _from_json(name, datatype, spec.get("data")), 0
    elif type(size) is not int or not 0 <= size <= len(binary):
        raise BadTensor(f"{said} has binary_data_size {_cut(size)}; {len(binary)} bytes are there")
    else:
        values, taken = _from_binary(name, datatype, binary[:size]), size
    if len(values) != math.prod(shape):
        raise BadTensor(f"{said} has shape {shape}, but {len(values)} values")
    if datatype == "BYTES" and isinstance(content_type := parameters.get("content_type"), str):
        values = _unwrapped(name, content_type, values)
    return Tensor(name, tuple(shape), values), taken


def _input(name: str) -> str:
    return f"input {name[:80]!r}"


def _cut(value: Any) -> str:
    """Return a value as truncated text: it may be long, or too deeply nested to be written."""
    is_flat = isinstance(value, list) and not any(isinstance(each, list | dict) for each in value[:20])
    return str(value[:20])[:80] if is_flat else shown(value)


def _from_json(name: str, datatype: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise BadTensor(f"{_input(name)} has no data: expected an array, or binary_data_size among its parameters")
    flat = data
    for _ in range(MOST_DIMENSIONS - 1):
        if not any(isinstance(value, list) for value in flat):
            break
        flat = [inner for value in flat for inner in (value if isinstance(value, list) else [value])]
    if datatype == "BOOL":  # Triton's clients send 0 and 1 as well
        return [bool(value) if type(value) is int and value in (0, 1) else value for value in flat]
    return flat


def _unwrapped(name: str, content_type: str, values: list[Any]) -> list[Any]:
    if (unwrap := WRAPPINGS.get(content_type)) is None:
        return values
    try:
        return [unwrap(value) for value in values]
    except (TypeError, ValueError):
        raise BadTensor(f"{_input(name)} has texts that are no {content_type}, which its content_type says") from None


def _from_binary(name: str, datatype: str, raw: memoryview) -> list[Any]:
    if datatype == "BYTES":
        return list(_strings(name, raw))
    dtype = np.dtype(DTYPES[datatype]).newbyteorder("<")
    if len(raw) % dtype.itemsize:
        raise BadTensor(f"{_input(name)} has {len(raw)} bytes, no multiple of the {dtype.itemsize} of {datatype}")
    values = np.frombuffer(raw, dtype)
    if dtype.kind == "f":
        return [None if value != value else value for value in values.astype(np.float64).tolist()]
    numbers: list[Any] = values.tolist()
    return numbers


def _strings(name: str, raw: memoryview) -> list[str]:
    """Read strings, each preceded by its length: four bytes, little-endian."""
    found, at = [], 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise BadTensor(f"{_input(name)} ends within the length of a string")
        (length,) = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            raise BadTensor(f"{_input(name)} ends within a string of {length} bytes")
        try:
            found.append(bytes(raw[at + 4 : at + 4 + length]).decode())
        except UnicodeDecodeError:
            raise BadTensor(f"{_input(name)}: string {len(found)} is not UTF-8") from None
        at += 4 + length
    return found


def rows_of(tensors: Sequence[Tensor], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of one tensor per column, of n values; or of one matrix of n × columns. Raises BadTensor."""
    if len(tensors) == 1 and tensors[0].name not in columns and len(tensors[0].shape) == 2:
        (matrix,) = tensors
        rows, width = matrix.shape
        if width != len(columns):
            raise BadTensor(f"{_input(matrix.name)} has {width} columns; the model takes {len(columns)}")
        return [dict(zip(columns, matrix.values[row * width : (row + 1) * width], strict=True)) for row in range(rows)]
    names = [tensor.name for tensor in tensors]
    if len(set(names)) != len(names):
        raise BadTensor("two inputs have the same name")
    for tensor in tensors:
        if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
            raise BadTensor(f"{_input(tensor.name)} has shape {list(tensor.shape)}; expected [n] or [n, 1], a column")
        if tensor.shape[0] != tensors[0].shape[0]:
            first = tensors[0]
            raise BadTensor(
                f"{_input(tensor.name)} has {tensor.shape[0]} rows, but {first.name[:80]!r} has {first.shape[0]}"
            )
    return [dict(zip(names, row, strict=True)) for row in zip(*(tensor.values for tensor in tensors), strict=True)]


@dataclass(frozen=True, slots=True)
class Output:
    name: str
    values: np.ndarray

    @property
    def datatype(self) -> str:
        kinds = {"b": "BOOL", "i": "INT64", "u": "UINT64", "f": "FP64"}
        return kinds.get(self.values.dtype.kind, "BYTES")

    def head(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.values.shape)}

    def as_json(self) -> dict[str, Any]:
        return {**self.head(), "data": self.values.reshape(-1).tolist()}

    def as_binary(self) -> tuple[dict[str, Any], bytes]:
        if self.datatype == "BYTES":
            parts = [str(value).encode() for value in self.values.reshape(-1).tolist()]
            raw = b"".join(struct.pack("<I", len(part)) + part for part in parts)
        else:
            raw = self.values.astype(np.dtype(DTYPES[self.datatype]).newbyteorder("<")).tobytes()
        return {**self.head(), "parameters": {"binary_data_size": len(raw)}}, raw


def split_body(body: bytes, header: str) -> tuple[bytes, memoryview]:
    """Split a body into JSON and binary; `header` is Inference-Header-Content-Length, or empty. Raises BadTensor."""
    if not header:
        return body, memoryview(b"")
    if not header.isdecimal() or len(header) > 20 or int(header) > len(body):
        raise BadTensor(f"Inference-Header-Content-Length is {header[:40]!r}; the body has {len(body)} bytes")
    size = int(header)
    return body[:size], memoryview(body)[size:]


def wanted_outputs(request: Mapping[str, Any], known: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the names of the requested outputs, and whether each is binary; by default all, as JSON."""
    parameters = request.get("parameters")
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    asked = request.get("outputs")
    if isinstance(asked, list) and len(asked) > len(known):
        raise BadTensor(f"{len(asked):,} outputs are asked for; there are {', '.join(known)}")
    if asked is None or asked == []:
        return [(name, binary) for name in known]
    found = []
    for each in asked if isinstance(asked, list) else [asked]:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or name not in known:
            raise BadTensor(f"output {_cut(name)} is none of {', '.join(known)}")
        own = each.get("parameters")
        found.append((name, own.get("binary_data", binary) is True if isinstance(own, dict) else binary))
    return found
