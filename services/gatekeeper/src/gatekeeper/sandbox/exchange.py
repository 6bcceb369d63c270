"""The files by which the sandbox and its child exchange request and results; all that the child wrote is validated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gatekeeper.policy.noise import Noise
from gatekeeper.policy.stage import Stage
from gatekeeper.sandbox import compiled_form, results
from gatekeeper.sandbox.compiled_form import CompilationReport
from gatekeeper.sandbox.probe import Fault, Probe, Request
from gatekeeper.sandbox.processes import Ended
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
    permuted,
)

MOST_EXAMPLE_ROWS = 100_000
MOST_TIMED_CALLS = 100_000
MOST_FORM_BYTES = 256 * 1024**2


def write_request(scratch: Path, request: Request) -> None:
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
        "permuted": list(request.permuted),
        "permuted_columns": request.permuted_columns,
        "permuting_seconds": request.permuting_seconds,
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


def read_probe(scratch: Path, request: Request, ended: Ended) -> Probe:
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


def read_form(
    tolerance: float, scratch: Path, _request: Request, ended: Ended
) -> tuple[CompilationReport, bytes | None]:
    facts = results.facts(scratch / FACTS)
    what = ended.by or _fault_of(facts)
    if what is None and "form" in facts:
        found = compiled_form.from_untrusted(facts["form"], tolerance)
        return found, None if found.parity is None else results.content(scratch / FORM, MOST_FORM_BYTES)
    return compiled_form.unknown(f"its process {what or 'ended'} before it was proven"), None


def read_permuted(scratch: Path, request: Request, ended: Ended) -> tuple[dict[int, NDArray[Any]], str | None]:
    """Return the predictions by number of the permuted column, and why some are missing."""
    assert request.features is not None, "there are columns to permute"
    found: dict[int, NDArray[Any]] = {}
    for number in range(request.permuted_columns):
        answers = results.answers(scratch / permuted(number), len(request.features))
        if answers is not None:
            found[number] = answers
    if len(found) == request.permuted_columns:
        return found, None
    what = ended.by or _fault_of(results.facts(scratch / FACTS))
    if what is not None:
        return found, f"with permuted columns the model {what}"
    return found, f"the time for permuted columns, {request.permuting_seconds:g} s, was over"


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
