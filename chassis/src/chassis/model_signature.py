"""A model's signature, as the columns by which rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A feature; `kind` is MLflow's name of its type."""

    name: str
    kind: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """The features, the roles of the other columns, and the meaning of the predictions.

    `is_tensor`: the model takes one matrix; its columns are named by their position, from "0" on.
    `problem` is None for a model that does not declare it; then it is inferred from the shape of its predictions.
    """

    columns: tuple[Column, ...]
    entity: str | None = None
    event_time: str | None = None
    label: str | None = None
    problem: str | None = None
    classes: tuple[Any, ...] | None = None
    is_tensor: bool = False
