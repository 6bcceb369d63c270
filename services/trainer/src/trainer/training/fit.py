"""From windows to a fitted, evaluated estimator: load, split, train, evaluate, store on disk."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
from pydantic import BaseModel, ConfigDict

from chassis.digests import digest_file
from chassis.errors import Permanent
from chassis.row_keys import TrainedOn
from contracts.policy import ModelPolicy
from trainer.policy import Plan, Refusal, is_held_out, plan
from trainer.recipes.recipe import Recipe, RecipeError, code_version, load_recipe, load_window, recipe_name
from trainer.spec import TrainingSpec, TrainingTask
from trainer.training.evaluation import classes_of, evaluate

Say = Callable[[float, str], None]

RUNTIME = ("mlflow", "scikit-learn", "numpy", "pandas", "scipy", "cloudpickle")
"""Packages that every model needs for loading; a recipe adds its own in `requirements`."""

LONGEST_PARAM = 500

KEYS = "training_keys"
"""A gate detects golden rows that were trained on by these keys; training rows themselves need not be kept."""


class File(BaseModel):
    """One of the datasets, as a Parquet file in the work folder."""

    path: Path
    digest: str
    rows: int
    window: str


class TrainedModel(BaseModel):
    """A training that is complete except for MLflow. Written last: if it exists, the other files are complete."""

    model_config = ConfigDict(protected_namespaces=())

    fingerprint: str
    code_version: str
    problem: str
    classes: list[Any]
    features: list[str]
    categorical: list[str]
    label: str
    entity: str | None
    event_time: str | None
    metrics: dict[str, float]
    params: dict[str, str]
    requirements: list[str]
    datasets: dict[str, File]
    estimator: Path


def fit(spec: TrainingSpec, policy: ModelPolicy, say: Say) -> tuple[TrainedModel, Any]:
    """Train, or reuse the result of an earlier run of the same job in the work folder.

    Returns the result and the estimator. Raises Permanent when training is impossible, and what the recipe raises.
    """
    if policy.recipe is None:
        raise Permanent(f"the policy of {policy.model!r} names no recipe")
    say(0.02, f"recipe {policy.recipe}")
    recipe, module = load_recipe(policy.recipe)
    cloudpickle.register_pickle_by_value(module)  # definitions of the recipe file are pickled inside the model
    code = code_version(module)
    fingerprint = "\n".join((spec.model_dump_json(exclude={"work_dir", "tracking_uri", "allowed_uris"}), code))
    kept = spec.work_dir / "made.json"
    if kept.is_file():
        made = TrainedModel.model_validate_json(kept.read_text())
        if made.fingerprint == fingerprint:
            say(0.7, "trained before: taking that up")
            return made, pickle.loads(made.estimator.read_bytes())
    made, estimator = _train(spec, policy, recipe, code, fingerprint, say)
    put_whole(kept, lambda path: path.write_text(made.model_dump_json()))
    return made, estimator


def _train(
    spec: TrainingSpec, policy: ModelPolicy, recipe: Recipe, code: str, fingerprint: str, say: Say
) -> tuple[TrainedModel, Any]:
    chosen = plan(
        list(recipe.windows()),
        training_windows=policy.training.windows,
        golden=policy.golden,
        requested=spec.task.window,
        drift_window=_drift_window(recipe, spec.task),
    )
    if isinstance(chosen, Refusal):
        raise Permanent(f"{policy.model}: {chosen.reason}")
    training, golden = _rows(recipe, chosen, policy, spec.seed, say)
    say(0.2, f"training on {len(training):,} rows of {chosen.training_name}")
    estimator = recipe.train(training)
    classes = classes_of(estimator, policy.problem)
    say(0.6, f"evaluating on {len(golden):,} rows of {chosen.golden_name}")
    features = list(recipe.features)
    metrics = evaluate(estimator, golden[features], golden[recipe.label], policy.problem)
    reference = _sample(training, spec.reference_rows, spec.seed)
    frames = {
        "training": (training, chosen.training_name),
        "evaluation": (golden, chosen.golden_name),
        "reference": (reference, chosen.training_name),
    }
    pickled = spec.work_dir / "estimator.pkl"
    put_whole(pickled, lambda path: path.write_bytes(cloudpickle.dumps(estimator)))
    made = TrainedModel(
        fingerprint=fingerprint,
        code_version=code,
        problem=policy.problem,
        classes=classes,
        features=features,
        categorical=list(recipe.categorical),
        label=recipe.label,
        entity=recipe.entity,
        event_time=recipe.event_time,
        metrics=metrics,
        params=_params(policy, chosen, estimator),
        requirements=_requirements((*RUNTIME, *getattr(recipe, "requirements", ()))),
        datasets={name: _write(spec.work_dir, name, frame, window) for name, (frame, window) in frames.items()}
        | {KEYS: _write_keys(spec.work_dir, recipe, training, chosen.training_name)},
        estimator=pickled,
    )
    return made, estimator


def _drift_window(recipe: Recipe, task: TrainingTask) -> str | None:
    if task.drifted_at is None or recipe.event_time is None:
        return None  # rows without a time: only the newest window is known
    try:
        return recipe.window_at(task.drifted_at)
    except (ValueError, LookupError) as error:
        raise RecipeError(
            f"recipe {recipe_name(recipe)!r} has no window for {task.drifted_at.isoformat()}, "
            f"the end of the drifted rows: {error}"
        ) from error


def _rows(recipe: Recipe, chosen: Plan, policy: ModelPolicy, seed: int, say: Say) -> tuple[pd.DataFrame, pd.DataFrame]:
    frames = []
    for window in chosen.training:
        say(0.05, f"loading {window}")
        frames.append(load_window(recipe, window, policy.problem))
    training = pd.concat(frames, ignore_index=True)
    if chosen.golden is not None:
        say(0.15, f"loading {chosen.golden}")
        golden = load_window(recipe, chosen.golden, policy.problem)
    else:
        training, golden = _split(recipe, training, chosen.holdout or 0.0)
    return training, _sample(golden, policy.golden.max_rows, seed)


def _split(recipe: Recipe, frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    if recipe.entity is None:
        raise RecipeError(
            f"recipe {recipe_name(recipe)!r} names no entity, which `golden: {{window: holdout}}` splits by"
        )
    entities = frame[recipe.entity].astype(str)
    chosen = entities.map({entity: is_held_out(entity, share) for entity in entities.unique()})
    training, golden = frame[~chosen].reset_index(drop=True), frame[chosen].reset_index(drop=True)
    if training.empty or golden.empty:
        raise Permanent(
            f"holding out {share:g} of {entities.nunique()} entities leaves {len(training)} rows to train on "
            f"and {len(golden)} to judge on"
        )
    return training, golden


def _sample(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return at most `most` rows, deterministically, in their order."""
    if len(frame) <= most:
        return frame
    return frame.sample(most, random_state=seed).sort_index().reset_index(drop=True)


def _write(folder: Path, name: str, frame: pd.DataFrame, window: str) -> File:
    path = folder / "datasets" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    put_whole(path, lambda partial: frame.to_parquet(partial, index=False))
    return File(path=path, digest=digest_file(path), rows=len(frame), window=window)


def _write_keys(folder: Path, recipe: Recipe, training: pd.DataFrame, window: str) -> File:
    path = folder / "datasets" / f"{KEYS}.parquet"
    trained = TrainedOn.of(training, recipe.features, recipe.entity, recipe.event_time)
    put_whole(path, trained.write)
    return File(path=path, digest=digest_file(path), rows=len(training), window=window)


def put_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write atomically: for a moment, two processes of one job may share the folder."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    write(partial)
    partial.replace(path)


def _params(policy: ModelPolicy, chosen: Plan, estimator: Any) -> dict[str, str]:
    found = {
        "recipe": str(policy.recipe),
        "training_windows": chosen.training_name,
        "golden_window": chosen.golden_name,
        "estimator": f"{type(estimator).__module__}.{type(estimator).__name__}",
    }
    if hasattr(estimator, "get_params"):
        for name, value in estimator.get_params(deep=True).items():
            if isinstance(value, str | int | float | bool) or value is None:
                found[f"estimator.{name}"] = str(value)
    return {name: value[:LONGEST_PARAM] for name, value in found.items()}


def _requirements(names: Iterable[str]) -> list[str]:
    found = {}
    for name in names:
        try:
            found[name] = f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError as error:
            raise RecipeError(f"the recipe requires {name!r}, which is not installed here") from error
    return sorted(found.values())


def roles(made: TrainedModel) -> dict[str, Any]:
    """Return `metadata["gauntlet"]` of the logged model."""
    return {
        "problem": made.problem,
        "classes": made.classes,
        "entity": made.entity,
        "event_time": made.event_time,
        "label": made.label,
        "features": made.features,
    }


def example_rows(made: TrainedModel, rows: int = 5) -> pd.DataFrame:
    """Return a few golden rows as model input; complete ones where there are any."""
    golden = pd.read_parquet(made.datasets["evaluation"].path, columns=list(made.features))
    complete = golden.dropna()
    return (golden if complete.empty else complete).head(rows).reset_index(drop=True)
