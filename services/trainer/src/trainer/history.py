"""Predictions of every version of a model: `python -m trainer.history POLICY OUT --every 14d --train 60d`.

Trains one version per window with the policy's recipe and stores its predictions on all windows from its golden one on:
OUT/history.json, OUT/rows.parquet (window, truth, entity), OUT/answers/v001.npy, … Existing results for the same
recipe and rows are reused. Standard output carries progress, one JSON object per line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter

from chassis.errors import Permanent
from chassis.policies import load_policy
from contracts.durations import Duration
from contracts.metrics import Problem
from contracts.policy import ModelPolicy
from trainer.recipes.recipe import Recipe, code_version, columns_of, load_recipe
from trainer.recipes.timeline import Timeline, by_time, by_window
from trainer.training.child import FAILURE, last_line, own_standard_output, progress_to
from trainer.training.evaluation import classes_of
from trainer.training.fit import put_whole

FORMAT = 1

Say = Callable[[float, str], None]


def build(policy: ModelPolicy, timeline: Timeline, recipe: Recipe, code: str, out: Path, say: Say) -> Path:
    """Write the history into `out` and return the path of its history.json, which is written last."""
    classes = _classes(timeline, recipe, policy.problem)
    fingerprint = _fingerprint(policy, timeline, recipe, code)
    described = out / "history.json"
    if described.is_file() and json.loads(described.read_text()).get("fingerprint") == fingerprint:
        say(1.0, f"{out} holds this history already")
        return described
    answers = out / "answers" / fingerprint[7:19]
    answers.mkdir(parents=True, exist_ok=True)
    versions = []
    # The version trained for the last window would never serve.
    for number, step in enumerate(timeline.steps[:-1], start=1):
        say((number - 1) / len(timeline.steps), f"v{number}: {len(step.training):,} rows of {step.trained_on}")
        path = answers / f"v{number:03d}.npy"
        if not path.is_file():
            following = np.concatenate([later.rows for later in timeline.steps[number - 1 :]])
            values = _answers(timeline.frame, step.training, following, recipe, policy.problem, classes)
            put_whole(path, partial(_save, values=values))
        versions.append({"number": number, "trained_on": step.trained_on, "golden": number - 1, "answers": path.name})
    _rows(timeline, recipe, policy.problem, classes).to_parquet(out / "rows.parquet", index=False)
    about = json.dumps(
        {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "model": policy.model,
            "problem": policy.problem,
            "classes": classes,
            "folder": str(answers.relative_to(out)),
            "windows": [{"name": step.window, "rows": len(step.rows)} for step in timeline.steps],
            "versions": versions,
        },
        indent=1,
    )
    put_whole(described, lambda draft: draft.write_text(about))
    say(1.0, f"{len(versions)} versions, {len(timeline.steps)} windows")
    return described


def _answers(
    frame: pd.DataFrame,
    training: NDArray[np.int64],
    following: NDArray[np.int64],
    recipe: Recipe,
    problem: Problem,
    classes: list[Any],
) -> NDArray[np.float64]:
    """Predict: regression (n,), binary the score of class 1 (n,), multiclass the scores of `classes` (n, k)."""
    estimator = recipe.train(frame.iloc[training].reset_index(drop=True))
    features = frame.iloc[following][list(recipe.features)].reset_index(drop=True)
    if problem == "regression":
        return np.asarray(estimator.predict(features), dtype=np.float64).reshape(-1)
    own = classes_of(estimator, problem)
    scores = np.asarray(estimator.predict_proba(features), dtype=np.float64)
    if problem == "binary":
        return scores[:, own.index(1)]
    nothing = np.zeros(len(scores))
    return np.column_stack([scores[:, own.index(name)] if name in own else nothing for name in classes])


def _rows(timeline: Timeline, recipe: Recipe, problem: Problem, classes: list[Any]) -> pd.DataFrame:
    following = np.concatenate([step.rows for step in timeline.steps])
    labels = timeline.frame[recipe.label].iloc[following]
    truth = labels.map({name: number for number, name in enumerate(classes)}) if problem == "multiclass" else labels
    rows = pd.DataFrame(
        {
            "window": np.repeat(np.arange(len(timeline.steps)), [len(step.rows) for step in timeline.steps]),
            "truth": truth.to_numpy(dtype=np.float64 if problem == "regression" else np.int64),
        }
    )
    if recipe.entity is not None:
        rows["entity"] = timeline.frame[recipe.entity].iloc[following].astype(str).to_numpy()
    return rows


def _classes(timeline: Timeline, recipe: Recipe, problem: Problem) -> list[Any]:
    if problem == "regression":
        return []
    if problem == "binary":
        return [0, 1]
    return sorted(timeline.frame[recipe.label].unique().tolist(), key=str)


def _fingerprint(policy: ModelPolicy, timeline: Timeline, recipe: Recipe, code: str) -> str:
    """Return a digest of all that the predictions depend on: recipe, rows, cuts and the fitting library."""
    digest = hashlib.sha256()
    for part in (FORMAT, policy.recipe, policy.problem, code.rpartition(" ")[2], version("scikit-learn")):
        digest.update(f"{part}\n".encode())
    digest.update(pd.util.hash_pandas_object(timeline.frame[columns_of(recipe)], index=False).to_numpy().tobytes())
    for step in timeline.steps:
        digest.update(step.training.tobytes() + step.rows.tobytes())
    return "sha256:" + digest.hexdigest()


def _save(path: Path, values: NDArray[np.float64]) -> None:
    with path.open("wb") as file:  # given a name, NumPy would append .npy
        np.save(file, values, allow_pickle=False)


def timeline_of(
    policy: ModelPolicy,
    recipe: Recipe,
    every: timedelta | None,
    train: timedelta | None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Timeline:
    """Cut by time if `every` is given, else by the recipe's windows. Raises Permanent for conflicting options."""
    if every is None:
        if train is not None or since is not None or until is not None:
            raise Permanent("--train, --from and --until cut by time; say with --every how long a window is")
        return by_window(recipe, policy.problem, policy.training.windows)
    if train is None:
        raise Permanent("--every needs --train: how much time before a window is trained on, for example 60d")
    return by_time(recipe, policy.problem, every, train, since, until)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainer.history", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("policy", type=Path, help="the policy that names the recipe")
    parser.add_argument("out", type=Path, help="the folder to write into")
    parser.add_argument("--every", type=_duration, help="how long a window is (14d); default: the recipe's windows")
    parser.add_argument("--train", type=_duration, help="how much time before a window is trained on (60d)")
    parser.add_argument("--from", dest="since", type=_day, help="the first day that is trained on (2013-01-01)")
    parser.add_argument("--until", type=_day, help="the day that no window reaches (2013-12-31)")
    given = parser.parse_args(argv)
    say = progress_to(own_standard_output())
    try:
        policy = load_policy(given.policy)
        if policy.recipe is None:
            raise Permanent(f"the policy of {policy.model!r} names no recipe: nothing can be trained with it")
        recipe, module = load_recipe(policy.recipe)
        say(0.0, f"loading the rows of {policy.recipe}")
        timeline = timeline_of(policy, recipe, given.every, given.train, given.since, given.until)
        build(policy, timeline, recipe, code_version(module), given.out, say)
    except (Permanent, OSError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return FAILURE
    except Exception as error:  # whatever a recipe raises: its last line is the reported reason
        traceback.print_exc()
        sys.stderr.write(f"{last_line(error)}\n")
        return FAILURE
    return 0


def _duration(text: str) -> timedelta:
    try:
        found = TypeAdapter(Duration).validate_python(text)
    except ValueError:
        found = timedelta()
    if found <= timedelta():
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time such as 14d or 12h")
    return found


def _day(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2013-01-01") from error


if __name__ == "__main__":
    sys.exit(main())
