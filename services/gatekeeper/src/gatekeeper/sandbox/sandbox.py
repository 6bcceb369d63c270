"""The outer side of the sandbox: starts it, ends it, and validates all of its output."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from numpy.typing import NDArray

from chassis.telemetry import get_logger
from gatekeeper.policy.noise import Noise
from gatekeeper.policy.stage import Stage
from gatekeeper.sandbox import compiled_form, results
from gatekeeper.sandbox.compiled_form import CompilationReport
from gatekeeper.sandbox.isolation import Isolation
from gatekeeper.sandbox.processes import Cancelled, Ended, SandboxBroken, SandboxForkServer
from gatekeeper.sandbox.protocol import (
    ALONE,
    BATCH_SECONDS,
    FACTS,
    FEATURES,
    FIRST,
    FORM,
    GOLDEN,
    MOST_ALONE,
    REQUEST,
    SECOND,
    SECONDS,
    dirty,
)
from gatekeeper.sandbox.workspace import Workspace

MOST_EXAMPLE_ROWS = 100_000
MOST_TIMED_CALLS = 100_000
MOST_FORM_BYTES = 256 * 1024**2

T = TypeVar("T")
Read = Callable[[Path, "Request", Ended], T]

log = get_logger(__name__)


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


class Sandbox:
    """Runs probes, one at a time, below `root`. Safe to use from several threads; starts with the first probe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._home: Workspace | None = None
        self._template: SandboxForkServer | None = None

    def probe(self, request: Request, cancelled: threading.Event) -> Probe:
        """Load a model in a separate process and collect its predictions. Raises Cancelled or SandboxBroken."""
        probe, isolation = self._asked(request, cancelled, _read)
        return replace(probe, isolation=isolation.as_json())

    def form(
        self, request: Request, tolerance: float, cancelled: threading.Event
    ) -> tuple[CompilationReport, bytes | None]:
        """Load a model in another process, and check its compiled form on its features.

        Also returns the compiled model as that process wrote it, for serving; it is never opened here.

        A second process, so that neither the time and memory of this nor its end count against the candidate.
        Raises as `probe`.
        """
        return self._asked(replace(request, form_tolerance=tolerance), cancelled, partial(_read_form, tolerance))[0]

    def _asked(self, request: Request, cancelled: threading.Event, read: Read[T]) -> tuple[T, Isolation]:
        with self._lock:
            try:
                return self._run_one(request, cancelled, read)
            except OSError as error:  # no space, no memory for another process, …
                raise SandboxBroken(f"the sandbox cannot work: {error}") from error

    def warm_up(self) -> None:
        """Start the fork server now, so that the first candidate does not wait for it."""
        with self._lock:
            self._ready()

    def close(self) -> None:
        with self._lock:
            self._discard()
            if self._home is not None:
                self._home.close()
                self._home = None

    def _run_one(self, request: Request, cancelled: threading.Event, read: Read[T]) -> tuple[T, Isolation]:
        template, home = self._ready()
        scratch = Path(tempfile.mkdtemp(prefix="probe-", dir=home.path))
        try:
            _write_request(scratch, request)
            ended = self._run(template, scratch, request.limits, cancelled)
            return read(scratch, request, ended), template.isolation
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _ready(self) -> tuple[SandboxForkServer, Workspace]:
        if self._home is None:
            self._home = Workspace(self._root)
        if self._template is None:
            self._template = SandboxForkServer(self._home.path)
            _say(self._template.isolation)
        return self._template, self._home

    def _run(self, template: SandboxForkServer, scratch: Path, limits: Limits, cancelled: threading.Event) -> Ended:
        try:
            return template.run(scratch, limits.seconds, limits.disk_mb * 1024**2, cancelled)
        except Cancelled:
            self._discard()
            raise
        except (SandboxBroken, OSError) as error:  # the fork server is gone: its end of the socket may be reset
            self._discard()
            if results.facts(scratch / FACTS):  # it was alive when the candidate began
                return Ended("killed the process that watches it", str(error))
            raise

    def _discard(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None


def _say(isolation: Isolation) -> None:
    if isolation.gaps:
        log.warning("candidates are not isolated as they should be", **isolation.as_json())
    else:
        log.info("candidates are isolated", **isolation.as_json())


def _write_request(scratch: Path, request: Request) -> None:
    if request.features is not None:
        request.features.to_parquet(scratch / FEATURES, index=False)
    for name, rows in request.dirty.items():
        rows.to_parquet(scratch / dirty(name, "parquet"), index=False)
    content = {
        "model": str(request.model.resolve()),
        "problem": request.problem,
        "classes": None if request.classes is None else list(request.classes),
        "golden_classes": None if request.golden_classes is None else list(request.golden_classes),
        "metrics": list(request.metrics),
        "features": request.features is not None,
        "golden_only": request.golden_only,
        "form_tolerance": request.form_tolerance,
        "timed": request.timed,
        "batch_rows": request.batch_rows,
        "dirty": list(request.dirty),
        "alone": [int(place) for place in request.alone],
        "seconds": request.limits.seconds,
        "processes": request.limits.processes,
        "memory_bytes": request.limits.memory_mb * 1024 * 1024,
        "timing_seconds": min(request.limits.timing_seconds, request.limits.seconds / 4),
        "batch_timing_seconds": min(request.limits.timing_seconds, request.limits.seconds / 8),
    }
    (scratch / REQUEST).write_text(json.dumps(content, default=str))


def _read(scratch: Path, request: Request, ended: Ended) -> Probe:
    facts = results.facts(scratch / FACTS)
    stage = _stage(facts.get("stage"))
    what = ended.by or _fault_of(facts)
    if what is None and stage is not Stage.DONE:
        what = "ended its process"
    rows = results.count(facts.get("example_rows"), MOST_EXAMPLE_ROWS)
    golden_rows = 0 if request.features is None else len(request.features)
    found: dict[str, NDArray[Any]] = {}
    alone = tuple(request.alone if request.features is not None else range(min(rows, MOST_ALONE)))
    for name, expected, at in (
        (FIRST, rows, Stage.EXAMPLE),
        (SECOND, rows, Stage.EXAMPLE),
        (GOLDEN, golden_rows, Stage.GOLDEN),
        (ALONE, len(alone), Stage.ALONE),
    ):
        if expected == 0 or stage.order <= at.order:
            continue
        answers = results.answers(scratch / name, expected)
        if answers is None:
            what, stage = f"left no readable answers to {expected} rows", at
        else:
            found[name] = answers
    faults = _dirty_faults(facts, request)
    dirt: dict[str, NDArray[Any]] = {}
    for name in request.dirty if stage.order > Stage.DIRTY.order else ():
        answers = results.answers(scratch / dirty(name, "npy"), len(request.dirty[name]))
        if answers is not None and name not in faults:
            dirt[name] = answers
        else:
            faults.setdefault(name, "left no readable answers")
    seconds, noise = _timings(scratch / SECONDS, what)
    batch_seconds, batch_noise = _timings(scratch / BATCH_SECONDS, what)
    return Probe(
        fault=None if what is None else Fault(stage, what),
        load_seconds=results.seconds(facts.get("load_seconds")),
        asked="golden rows" if facts.get("asked") == "golden rows" else "input example",
        example_rows=rows,
        first=found.get(FIRST),
        second=found.get(SECOND),
        golden=found.get(GOLDEN),
        alone=found.get(ALONE),
        alone_rows=alone if ALONE in found else (),
        dirty=dirt,
        dirty_faults=faults,
        seconds=seconds,
        batch_seconds=batch_seconds if request.timed else None,
        batch_rows=request.batch_rows if request.timed else None,
        output=ended.output,
        peak_memory_mb=ended.peak_mb,
        load_memory_mb=results.seconds(facts.get("load_memory_mb")),
        load_cpu_seconds=results.seconds(facts.get("load_cpu_seconds")),
        noise=noise,
        batch_noise=batch_noise,
        classes=results.classes(facts.get("classes")),
    )


def _read_form(
    tolerance: float, scratch: Path, _request: Request, ended: Ended
) -> tuple[CompilationReport, bytes | None]:
    facts = results.facts(scratch / FACTS)
    what = ended.by or _fault_of(facts)
    if what is None and "form" in facts:
        found = compiled_form.from_untrusted(facts["form"], tolerance)
        return found, None if found.parity is None else results.content(scratch / FORM, MOST_FORM_BYTES)
    return compiled_form.unknown(f"its process {what or 'ended'} before it was proven"), None


def _timings(path: Path, fault: str | None) -> tuple[tuple[float, ...], Noise | None]:
    return results.timings(path, MOST_TIMED_CALLS) if fault is None else ((), None)


def _fault_of(facts: dict[str, Any]) -> str | None:
    if not isinstance(facts.get("fault"), str):
        return None
    error = str(facts.get("error", ""))[:2000]
    words = {
        "memory": "ran out of memory",
        "answer": f"gave a wrong answer: {error}",
        "unservable": f"cannot be served: {error}",
        "example": f"has an input example that does not fit its signature: {error}",
    }
    return words.get(facts["fault"], f"raised {error}")


def _dirty_faults(facts: dict[str, Any], request: Request) -> dict[str, str]:
    said = facts.get("dirty_faults")
    return {name: str(said[name])[:500] for name in request.dirty if name in said} if isinstance(said, dict) else {}


def _stage(value: Any) -> Stage:
    try:
        return Stage(value)
    except ValueError:
        return Stage.STARTING
