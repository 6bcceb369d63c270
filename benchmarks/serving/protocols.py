"""Request format of each server, and the location of scores (probabilities of class 1) in its response."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Protocol:
    """`scores` is None where there is no model."""

    path: str
    body: Callable[[Rows], Any]
    scores: Callable[[Any], list[float]] | None

    def encode(self, rows: Rows) -> bytes:
        return json.dumps(self.body(rows), separators=(",", ":")).encode()

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}{self.path}"

    def written(self, path: Path, requests: Sequence[Rows]) -> Path:
        """Write one body per line, which wrk sends in turn; return `path`."""
        path.write_bytes(b"\n".join(self.encode(rows) for rows in requests))
        return path


def _rows(rows: Rows) -> Any:
    return {"rows": rows}


def _split(rows: Rows) -> Any:
    return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


def _tensors(rows: Rows) -> Any:
    """Open Inference Protocol v2: one input per column, which MLServer's `pd` makes into a DataFrame."""
    inputs = []
    for name, value in rows[0].items():
        column: dict[str, Any] = {"name": name, "shape": [len(rows), 1], "data": [row[name] for row in rows]}
        is_text = isinstance(value, str)
        column |= {"datatype": "BYTES", "parameters": {"content_type": "str"}} if is_text else {"datatype": "FP64"}
        inputs.append(column)
    return {"parameters": {"content_type": "pd"}, "inputs": inputs, "outputs": [{"name": "predict_proba"}]}


OWN = Protocol("/predict", _rows, lambda answer: [each["score"] for each in answer["predictions"]])
INVOCATIONS = Protocol("/invocations", _split, lambda answer: [row[1] for row in answer["predictions"]])
V2 = Protocol("/v2/models/bench/infer", _tensors, lambda answer: answer["outputs"][0]["data"][1::2])
BENTOML = Protocol("/predict", _rows, lambda answer: [row[1] for row in answer])
SCORES = Protocol("/predict", _rows, lambda answer: answer["scores"])
ECHO = Protocol("/predict", _rows, None)
