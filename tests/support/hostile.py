"""Hypothesis strategies for what clients may send: values, rows and tensors with something wrong here and there."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from support.versions import ROW

EVERY_KIND = pd.DataFrame(
    {
        "double": [0.5, 1.5],
        "float": np.array([0.5, 1.5], dtype=np.float32),
        "long": [1, 2],
        "integer": np.array([1, 2], dtype=np.int32),
        "flag": [True, False],
        "text": ["a", "b"],
        "day": pd.to_datetime(["2013-06-01", "2013-06-02"]),
    }
)
WIDE_ROW = {
    "double": 0.5,
    "float": 0.5,
    "long": 1,
    "integer": 1,
    "flag": True,
    "text": "a",
    "day": "2013-06-01T00:00:00",
}
GOOD = {"flights": ROW, "wide": WIDE_ROW}
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -0.0, 1e308, -1e308, 5e-324, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 3.5e38]),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "\x00", "a" * 300, "NaN", "2013-06-01", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", "٣"]
    ),
)
NAMES = st.one_of(
    TEXTS,
    st.sampled_from([*WIDE_ROW, *ROW, "tailnum", "departed", "late", "rows", "model", "inputs", "items", "columns"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def rows(draw: st.DrawFn, model: str) -> list[Any]:
    """Good rows with something wrong here and there."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        row = dict(GOOD[model])
        for name in draw(st.lists(st.one_of(st.sampled_from(list(row)), NAMES), max_size=2)):
            row[name] = draw(VALUES)
        for name in draw(st.lists(st.sampled_from(list(GOOD[model])), max_size=1)):
            row.pop(name, None)
        found.append(draw(st.one_of(st.just(row), st.just(row), VALUES)))
    return found


def written(value: Any) -> bytes:
    """As JSON, and what only nearly is: NaN, numbers of any size."""
    return json.dumps(value).encode()


MODELS = st.sampled_from(list(GOOD))


DATATYPES = ["BOOL", "UINT8", "INT32", "INT64", "UINT64", "FP16", "FP32", "FP64", "BYTES"]
FITTING = {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "flag": "BOOL"}


@st.composite
def tensors(draw: st.DrawFn, model: str) -> tuple[Any, bytes]:
    inputs, binary = [], b""
    count = draw(st.integers(1, 2))
    for name, value in GOOD[model].items():
        datatype = "FP64" if name == "distance" else FITTING.get(name, "BYTES")
        tensor: dict[str, Any] = {"name": name, "shape": [count], "datatype": datatype, "data": [value] * count}
        if draw(st.integers(0, 5)) == 0:
            tensor[draw(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]))] = draw(VALUES)
        if draw(st.integers(0, 5)) == 0:
            raw = draw(st.one_of(st.binary(max_size=16), st.just(struct.pack("<I", 1) + b"a"), st.just(b"\xff" * 8)))
            size = draw(st.one_of(st.just(len(raw)), NUMBERS))
            tensor |= {"datatype": draw(st.sampled_from(DATATYPES)), "parameters": {"binary_data_size": size}}
            binary += raw
        inputs.append(tensor)
    if draw(st.integers(0, 4)) == 0:
        inputs = draw(st.one_of(st.just(inputs[:1]), st.just([]), VALUES))
    return {"inputs": inputs}, binary
