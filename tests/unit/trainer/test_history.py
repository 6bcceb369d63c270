"""A model's history as it would have been: who is trained on what, judged on what, and what is kept of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chassis.errors import Permanent
from contracts.policy import ModelPolicy
from support.tiny_recipe import START, WINDOWS, TinyRecipe
from trainer import history
from trainer.recipes.timeline import by_time, by_window


class Counting(TinyRecipe):
    """The tiny recipe that counts its trainings."""

    trained = 0

    def train(self, frame: pd.DataFrame) -> object:
        self.trained += 1
        return super().train(frame)


@pytest.fixture
def policy() -> ModelPolicy:
    return ModelPolicy.model_validate({"model": "tiny", "recipe": "support.tiny_recipe:recipe"})


def say(share: float, message: str) -> None:
    """Nobody listens."""


def test_each_step_trains_on_the_windows_before_its_own() -> None:
    timeline = by_window(TinyRecipe(), "binary", 2)
    assert [step.window for step in timeline.steps] == list(WINDOWS[2:])
    assert timeline.steps[0].trained_on == f"{WINDOWS[0]}..{WINDOWS[1]}"
    for step in timeline.steps:
        assert step.training[-1] + 1 == step.rows[0]
        assert not set(step.training) & set(step.rows)


def test_steps_by_time_train_on_the_time_before_and_leave_no_row_out() -> None:
    recipe = TinyRecipe()
    timeline = by_time(recipe, "binary", every=timedelta(hours=30), train=timedelta(days=2))
    times = timeline.frame[recipe.event_time]
    assert times.is_monotonic_increasing
    assert [step.window for step in timeline.steps] == ["2024-01-03", "2024-01-04T06:00", "2024-01-05T12:00"]
    for step in timeline.steps:
        start = datetime.fromisoformat(step.window).replace(tzinfo=UTC)
        assert times.iloc[step.training].between(start - timedelta(days=2), start, inclusive="left").all()
        assert times.iloc[step.rows].between(start, start + timedelta(hours=30), inclusive="left").all()
    judged = np.concatenate([step.rows for step in timeline.steps])
    assert (judged == np.arange(judged[0], len(timeline.frame))).all()


def test_dates_cut_both_ends() -> None:
    recipe = TinyRecipe()
    since, until = START + timedelta(days=1), START + timedelta(days=5)
    timeline = by_time(recipe, "binary", timedelta(days=1), timedelta(days=1), since, until)
    assert [step.window for step in timeline.steps] == ["2024-01-03", "2024-01-04", "2024-01-05"]
    kept = timeline.frame[recipe.event_time].iloc[np.concatenate([step.rows for step in timeline.steps])]
    assert kept.max() < until


@pytest.mark.parametrize(
    ("every", "train", "said"),
    [
        (None, timedelta(days=60), "say with --every how long a window is"),
        (timedelta(days=14), None, "--every needs --train"),
        (timedelta(days=14), timedelta(days=4000), "too short a history"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    policy: ModelPolicy, every: timedelta | None, train: timedelta | None, said: str
) -> None:
    with pytest.raises(Permanent, match=said):
        history.timeline_of(policy, TinyRecipe(), every, train)


def test_without_event_times_there_is_no_cutting_by_time() -> None:
    with pytest.raises(Permanent, match="names no event time"):
        by_time(TinyRecipe(event_time=None), "binary", timedelta(days=14), timedelta(days=30))


def test_answers_of_a_version_begin_with_its_golden_window(policy: ModelPolicy, tmp_path: Path) -> None:
    recipe = TinyRecipe()
    timeline = by_window(recipe, "binary", 1)
    described = json.loads(history.build(policy, timeline, recipe, "sha256:0", tmp_path, say).read_text())
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    assert [len(part) for _, part in rows.groupby("window")] == [found["rows"] for found in described["windows"]]
    assert len(described["versions"]) == len(timeline.steps) - 1
    for version, step in zip(described["versions"], timeline.steps, strict=False):
        kept = np.load(tmp_path / described["folder"] / version["answers"])
        later = timeline.frame.iloc[step.rows[0] :]
        model = recipe.train(timeline.frame.iloc[step.training])
        assert kept == pytest.approx(model.predict_proba(later[list(recipe.features)])[:, 1])
        assert rows["truth"].iloc[-len(kept) :].tolist() == later[recipe.label].tolist()


def test_what_is_there_is_not_made_again_unless_something_changed(policy: ModelPolicy, tmp_path: Path) -> None:
    recipe = Counting()
    timeline = by_window(recipe, "binary", 1)
    history.build(policy, timeline, recipe, "sha256:0", tmp_path, say)
    versions = recipe.trained
    assert versions == len(timeline.steps) - 1
    history.build(policy, timeline, recipe, "sha256:0", tmp_path, say)
    assert recipe.trained == versions
    history.build(policy, timeline, recipe, "sha256:1", tmp_path, say)
    assert recipe.trained == 2 * versions


def test_a_build_that_was_interrupted_goes_on_where_it_was(policy: ModelPolicy, tmp_path: Path) -> None:
    recipe = Counting()
    timeline = by_window(recipe, "binary", 1)
    described = history.build(policy, timeline, recipe, "sha256:0", tmp_path, say)
    folder = tmp_path / json.loads(described.read_text())["folder"]
    described.unlink()
    (folder / "v002.npy").unlink()
    recipe.trained = 0
    history.build(policy, timeline, recipe, "sha256:0", tmp_path, say)
    assert recipe.trained == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--every", "a while"), "'a while' is no length of time such as 14d"),
        (("--every", "0d"), "'0d' is no length of time"),
        (("--every", "14d", "--train", "60d", "--from", "spring"), "'spring' is no date such as 2013-01-01"),
    ],
)
def test_an_argument_that_is_not_understood_is_named(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        history.main([str(tmp_path / "policy.yaml"), str(tmp_path), *arguments])
    assert said in capsys.readouterr().err
