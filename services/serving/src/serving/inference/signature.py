"""What a model takes, as the columns that rows are read by."""

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
    """The features, the roles of the columns beside them, and what the answers mean.

    `problem` is None for a model that does not say; then the shape of its answers tells.
    """

    columns: tuple[Column, ...]
    entity: str | None = None
    event_time: str | None = None
    label: str | None = None
    problem: str | None = None
    classes: tuple[Any, ...] | None = None
