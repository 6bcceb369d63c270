"""The training process: `python -m trainer.training.child SPEC RESULT`. It ends with its parent.

Standard output carries progress, one JSON object per line; all other output goes to standard error, the log.
Exit status: 0 with a result, 75 when MLflow is unavailable, 1 for an error that the result names.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from chassis.errors import Permanent, Transient
from trainer.policy import TEMPORARY_FAILURE
from trainer.spec import Progress, TrainingReport, TrainingSpec

FAILURE = 1


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m trainer.training.child SPEC RESULT\n")
        return 2
    spec_path, result_path = Path(arguments[0]), Path(arguments[1])
    _end_with_the_parent()
    say = progress_to(own_standard_output())
    try:
        report, status = _report(TrainingSpec.model_validate_json(spec_path.read_text()), say), 0
    except Transient as error:
        traceback.print_exc()
        report, status = TrainingReport(error=str(error)), TEMPORARY_FAILURE
    except Permanent as error:
        traceback.print_exc()
        report, status = TrainingReport(error=str(error)), FAILURE
    except Exception as error:  # whatever a recipe raises: its last line is the reported reason
        traceback.print_exc()
        report, status = TrainingReport(error=last_line(error)), FAILURE
    partial = result_path.with_suffix(".partial")
    partial.write_text(report.model_dump_json())
    partial.replace(result_path)
    return status


def _report(spec: TrainingSpec, say: Callable[[float, str], None]) -> TrainingReport:
    from trainer.training.registry import Publisher  # imports take seconds: start watching the parent first

    say(0.01, "asking MLflow for an earlier run of this job")
    publisher = Publisher(spec, say)
    if (before := publisher.registered_before()) is not None:
        return TrainingReport(registered=before, again=True)
    if spec.task.from_run is not None:
        return TrainingReport(registered=publisher.register_again(spec.task.from_run))
    if spec.policy is None:
        raise Permanent(f"no policy for model {spec.task.model_name!r}")
    from trainer.training.fit import fit

    made, estimator = fit(spec, spec.policy, say)
    return TrainingReport(registered=publisher.publish(made, estimator))


def _end_with_the_parent() -> None:
    """End when standard input closes: its other end is the parent's, which is gone, and so is the lease."""

    def watch(inherited: int) -> None:
        while os.read(inherited, 1):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)  # with all processes that the recipe started
        os._exit(FAILURE)

    threading.Thread(target=watch, args=(os.dup(0),), daemon=True, name="parent").start()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def own_standard_output() -> TextIO:
    """Reserve standard output for progress; output of recipes and libraries goes to the log."""
    own = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return own


def progress_to(output: TextIO) -> Callable[[float, str], None]:
    def say(share: float, message: str) -> None:
        line = Progress(progress=share, message=message).model_dump_json()
        output.write(line + "\n")
        sys.stderr.write(f"{message}\n")

    return say


def last_line(error: Exception) -> str:
    return " ".join(traceback.format_exception_only(error)[-1].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
