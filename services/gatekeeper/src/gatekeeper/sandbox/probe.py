"""What is asked of one model in the sandbox, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from gatekeeper.policy.noise import Noise
from gatekeeper.policy.stage import Stage


@dataclass(frozen=True)
class Limits:
    """`processes`: the candidate may start processes; `disk_mb`: maximum disk usage at any time."""

    seconds: float
    memory_mb: int
    timing_seconds: float = 10.0
    processes: bool = False
    disk_mb: int = 1024


@dataclass(frozen=True, eq=False)
class Request:
    """A model folder, and the feature rows to predict (None: only its input example).

    `classes`: those that the model declares; `golden_classes`: those of the golden rows, for a model without its own.
    `metrics`: those that need scores; a model that gives labels only is then at fault.
    """

    model: Path
    problem: str
    classes: Sequence[Any] | None
    features: pd.DataFrame | None
    limits: Limits
    golden_classes: Sequence[Any] | None = None
    metrics: Sequence[str] = ()
    golden_only: bool = False
    """Skip the input example: a champion has already passed it."""
    timed: bool = True
    batch_rows: int = 100
    """Rows of each timed batch."""
    dirty: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Perturbed rows, by kind of perturbation."""
    alone: Sequence[int] = ()
    """Positions of the features that are also predicted one by one; without features, the example's first rows are."""
    permuted: Sequence[int] = ()
    """Only predict `features` with one column at a time in this order of its values."""
    permuted_columns: int = 0
    """Number of columns, from the first on."""
    permuting_seconds: float = 10.0
    """No further column is begun that would exceed them."""
    form_tolerance: float | None = None
    """Only check the compiled form on `features`; its scores may differ by this much."""


@dataclass(frozen=True)
class Fault:
    """What went wrong, as a sentence without subject ("raised ValueError: …"), and where."""

    stage: Stage
    what: str


@dataclass(frozen=True, eq=False)
class Probe:
    """Results of one model. Arrays have been checked for size and kind, and hold as many rows as requested.

    `classes`: the estimator's own, in the order of its scores, for what describes the model; not evidence itself.
    `fault` is None if all stages succeeded. A fault in a late stage keeps the results of the earlier ones.
    `peak_memory_mb` is beyond what the process used before it loaded the model, as measured by the kernel;
    `load_memory_mb` as the process itself reported after loading. `isolation`: from network, files and other processes.
    `seconds` are of one-row predictions, `batch_seconds` of batches of `batch_rows`: None where none were requested.
    """

    fault: Fault | None = None
    load_seconds: float | None = None
    asked: str = "input example"
    example_rows: int = 0
    first: NDArray[Any] | None = None
    second: NDArray[Any] | None = None
    golden: NDArray[Any] | None = None
    alone: NDArray[Any] | None = None
    alone_rows: tuple[int, ...] = ()
    """Positions, in `golden` or else in `first`, of the rows that were also predicted one by one."""
    dirty: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    dirty_faults: Mapping[str, str] = field(default_factory=dict)
    seconds: tuple[float, ...] = ()
    batch_seconds: tuple[float, ...] | None = None
    batch_rows: int | None = None
    output: str = ""
    peak_memory_mb: float | None = None
    load_memory_mb: float | None = None
    isolation: Mapping[str, str] = field(default_factory=dict)
    load_cpu_seconds: float | None = None
    noise: Noise | None = None
    """Beside `seconds`."""
    batch_noise: Noise | None = None
    classes: tuple[Any, ...] | None = field(default=None, metadata={"evidence": False})
