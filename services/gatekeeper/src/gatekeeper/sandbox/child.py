"""The inner side of the sandbox: limits itself, loads the model, collects its predictions and writes the results.

Forked from the fork server. Once the model is loaded, no output of this process can be trusted: candidate code runs in
it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chassis.errors import Permanent
from contracts import OutputFormat
from gatekeeper.policy.stage import Stage
from gatekeeper.sandbox.errors import explained, told
from gatekeeper.sandbox.input_example import WrongExample, input_example
from gatekeeper.sandbox.isolation import Isolation, confine, is_open
from gatekeeper.sandbox.permuting import predict_permuted
from gatekeeper.sandbox.protocol import (
    ALONE,
    BATCH_SECONDS,
    FACTS,
    FEATURES,
    FIRST,
    FORM,
    GOLDEN,
    MOST_ALONE,
    MOST_COLUMNS,
    REQUEST,
    SECOND,
    SECONDS,
    dirty,
)
from gatekeeper.sandbox.timing import (
    BATCH_WARM_UP_CALLS,
    TIMED_BATCHES,
    TIMED_CALLS,
    WARM_UP_CALLS,
    batches_of,
    time_calls_of,
)

EXAMPLE_ROWS = 5
LARGEST_FILE = 256 * 1024 * 1024
MOST_FILES = 512
NOT_ISOLATED = 70


class Facts:
    """Results so far; the whole file is rewritten at each step, so that a crash leaves the previous step."""

    def __init__(self, scratch: Path) -> None:
        self._path = scratch / FACTS
        self._known: dict[str, Any] = {}

    def knows(self, name: str) -> bool:
        return name in self._known

    def note(self, **known: Any) -> None:
        self._known.update(known)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self._known))
        draft.replace(self._path)


class WrongAnswer(Exception):
    """The model returned something that is not valid predictions."""


def main(scratch: Path, expected: Isolation, begins: int) -> int:
    """Run one probe and return the exit code. A child that is less isolated than `expected` loads no model.

    Writes the memory in KiB used before the model is loaded to the pipe `begins`.
    """
    facts = Facts(scratch)
    facts.note(stage=Stage.STARTING)
    request = json.loads((scratch / REQUEST).read_text())
    os.chdir(scratch)
    os.environ.update(HOME=str(scratch), TMPDIR=str(scratch), MPLCONFIGDIR=str(scratch))
    tempfile.tempdir = None  # the fork server's cached folder is not writable here
    isolation = confine(scratch, Path(request["model"]), processes=request["processes"])
    if is_open(isolation.network) > is_open(expected.network) or is_open(isolation.files) > is_open(expected.files):
        sys.stderr.write(f"less isolated than expected: {isolation.gaps}\n")
        return NOT_ISOLATED
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch / 'mlflow.db'}"

    import mlflow.pyfunc  # the fork server has imported it; at the top, the gatekeeper would pay for it
    import pandas as pd

    features = pd.read_parquet(scratch / FEATURES) if request["features"] else None
    dirt = {name: pd.read_parquet(scratch / dirty(name, "parquet")) for name in request["dirty"]}
    _limit(request["seconds"], request["memory_bytes"])
    try:
        facts.note(stage=Stage.LOADING)
        began, worked = time.perf_counter(), time.process_time()
        resident = _resident_kb()
        os.write(begins, b"%d" % resident)
        os.close(begins)
        model = mlflow.pyfunc.load_model(request["model"], suppress_warnings=True)
        facts.note(
            load_seconds=time.perf_counter() - began,
            load_cpu_seconds=time.process_time() - worked,
            load_memory_mb=max(0, _resident_kb() - resident) / 1024,
        )
        _question(model, features, dirt, request, scratch, facts)
        facts.note(stage=Stage.DONE)
    except MemoryError:
        facts.note(fault="memory")
    except Permanent as error:
        facts.note(fault="unservable", error=str(error)[:2000])
    except WrongAnswer as error:
        facts.note(fault="answer", error=str(error)[:2000])
    except WrongExample as error:
        facts.note(fault="example", error=str(error)[:2000])
    except BaseException as error:  # anything that candidate code raises, SystemExit too, is a result
        facts.note(fault="raised", error=told(error)[:2000])
    return 0


def _question(
    model: Any, features: Any, dirt: dict[str, Any], request: dict[str, Any], scratch: Path, facts: Facts
) -> None:
    import numpy as np

    from chassis.named_outputs import own_classes
    from chassis.scoring import scorer_of
    from chassis.servable import servable

    scorer = scorer_of(model, request["problem"])

    def answers(frame: Any, enough_rows: bool) -> Any:
        try:
            raw = scorer.predict(frame)
        except Exception as error:
            raise explained(error, frame) from error
        own = scorer.classes or own_classes(raw)
        if own is not None and len(own) <= MOST_COLUMNS and not facts.knows("classes"):
            facts.note(classes=[_plain(name) for name in own])
        classes = request["classes"] or own or request["golden_classes"]
        try:
            found = scorer.read(raw, request["problem"], classes, rows=len(frame))
        except (ValueError, TypeError) as error:
            raise WrongAnswer(f"{error}: {scorer.no_scores}" if scorer.no_scores else str(error)) from error
        if complaint := scorer.complaint(found, request["metrics"], enough_rows=enough_rows):
            raise WrongAnswer(complaint)
        return _values(found, request["problem"])

    def ask(name: str, frame: Any) -> None:
        np.save(scratch / name, answers(frame, name == GOLDEN), allow_pickle=False)

    def ask_alone(frame: Any, places: list[int]) -> None:
        single = [answers(frame.iloc[[place]], False) for place in places]
        if len({values.shape for values in single}) > 1:
            raise WrongAnswer(f"single rows get answers of shapes {sorted({values.shape for values in single})}")
        np.save(scratch / ALONE, np.concatenate(single), allow_pickle=False)

    def time_calls(frame: Any) -> None:
        facts.note(stage=Stage.TIMING)
        rows = [frame.iloc[[number]] for number in range(min(len(frame), TIMED_CALLS))]
        timed = time_calls_of(scorer.predict, rows, WARM_UP_CALLS, TIMED_CALLS, request["timing_seconds"])
        np.save(scratch / SECONDS, np.asarray(timed, dtype=float), allow_pickle=False)
        facts.note(stage=Stage.BATCH)
        batches = batches_of(frame, request["batch_rows"])
        timed = time_calls_of(
            scorer.predict, batches, BATCH_WARM_UP_CALLS, TIMED_BATCHES, request["batch_timing_seconds"]
        )
        np.save(scratch / BATCH_SECONDS, np.asarray(timed, dtype=float), allow_pickle=False)

    if request["permuted"]:
        facts.note(stage=Stage.GOLDEN)
        predict_permuted(lambda frame: answers(frame, False), features, request, scratch)
        return
    if request["golden_only"]:
        facts.note(stage=Stage.GOLDEN)
        ask(GOLDEN, features)
        if request["timed"]:
            time_calls(features)
        return
    served = servable(model, scorer, OutputFormat(problem=request["problem"]))
    if (tolerance := request["form_tolerance"]) is not None:
        from gatekeeper.sandbox.compile_probe import proved  # the fork server has imported it

        facts.note(form=proved(scorer, served.signature.columns, features, tolerance, scratch / FORM))
        return
    facts.note(stage=Stage.EXAMPLE)
    example = input_example(request["model"], served)
    if example is None and features is None:
        return
    rows = features.head(EXAMPLE_ROWS) if example is None else example
    facts.note(asked="golden rows" if example is None else "input example", example_rows=len(rows))
    ask(FIRST, rows)
    ask(SECOND, rows)

    facts.note(stage=Stage.GOLDEN)
    if features is not None:
        ask(GOLDEN, features)

    facts.note(stage=Stage.ALONE)
    if features is None:
        ask_alone(rows, list(range(min(len(rows), MOST_ALONE))))
    elif request["alone"]:
        ask_alone(features, request["alone"])

    facts.note(stage=Stage.DIRTY)
    faults: dict[str, str] = {}
    for name, frame in dirt.items():
        try:
            ask(dirty(name, "npy"), frame)
        except Exception as error:  # it may predict the other kinds
            faults[name] = told(error)[:500]
    facts.note(dirty_faults=faults)

    time_calls(rows if features is None else features)


def _values(found: Any, problem: str) -> Any:
    """Return what is judged: scores, else labels, which are text where they might be taken for scores."""
    if found.scores is not None:
        return found.scores
    if problem == "binary" or found.labels.dtype.kind == "O":
        return found.labels.astype(str)
    return found.labels


def _plain(name: Any) -> Any:
    """Return a class as JSON represents it."""
    return name if isinstance(name, str | int | float) else str(name)


def _resident_kb() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # macOS: bytes, and the peak so far


def _limit(seconds: float, memory_bytes: int) -> None:
    """Set hard limits; `memory_bytes` is added to what this process uses before it loads the model."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    used = pages * resource.getpagesize()
    _set(resource.RLIMIT_AS, used + memory_bytes)
    _set(resource.RLIMIT_CPU, int(seconds) + 2)
    _set(resource.RLIMIT_FSIZE, LARGEST_FILE)
    _set(resource.RLIMIT_NOFILE, MOST_FILES)
    _set(resource.RLIMIT_CORE, 0)


def _set(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (ceiling, ceiling))
