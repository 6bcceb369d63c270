"""Small rules of the training job: what people read of an error, what is cleaned up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from contracts import Trigger
from trainer.jobs.training_job import TrainingError, forget_old, reason_of, task_of
from trainer.spec import TrainingTask

WEEK = 7 * 86_400


def test_the_reason_is_the_error_without_our_own_class_before_it() -> None:
    assert reason_of("TrainingError: ValueError: no rows") == "ValueError: no rows"
    assert reason_of("KeyError: 'x'") == "KeyError: 'x'"


def test_only_work_folders_that_are_long_left_are_removed(tmp_path: Path) -> None:
    for name, age in (("old", WEEK + 60), ("recent", WEEK - 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.txt").write_text("x")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    forget_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["recent"]
    forget_old(tmp_path / "not there yet")


def test_a_job_that_says_more_than_is_known_trains_nothing() -> None:
    task = TrainingTask(model_name="m", trigger=Trigger(kind="manual"), window="2013-01")
    payload = task.model_dump(mode="json")
    assert task_of(payload) == task
    payload["months"] = payload.pop("window")  # as a version might call it that also names another window by default
    with pytest.raises(TrainingError, match="the job holds 'months'"):
        task_of(payload)
