"""Registers a version that goes wrong later: `python -m examples.faulty flights broken --tracking-uri URI`.

broken: fitted with a column that is known only after the fact (the label itself), which its signature does not mention.
It looks excellent in training, and fails on the first row of production.

other-units (flights): trained, and judged, on weather in other units than production sends: degrees Celsius, metres,
pascals. Its golden rows have these units too, so it passes every gate; in production it is wrong about most flights.

known-categories (flights): predicts well until the first row with a category that it has not seen in training: then it
raises. Its golden rows have none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from examples.catalogue import EXAMPLES, recipe_of

AFTERWARDS = "known_only_afterwards"
LINEAGE_TAG = "gauntlet.lineage"
ROWS = 2000


@dataclass(frozen=True)
class Candidate:
    """A fitted pipeline, rows like those that it was fitted on, and golden rows (None: those of another version)."""

    pipeline: Pipeline
    rows: pd.DataFrame
    golden: pd.DataFrame | None = None


def broken(recipe: Any) -> Candidate:
    """Fit on the label, under another name; predicting without that column raises ValueError."""
    frame = recipe.load(recipe.windows()[0]).head(ROWS)
    seen = frame[list(recipe.features)].assign(**{AFTERWARDS: frame[recipe.label].astype("float64")})
    columns = ColumnTransformer([("afterwards", FunctionTransformer(), [AFTERWARDS])], remainder="drop")
    pipeline = Pipeline([("columns", columns), ("regression", LogisticRegression())]).fit(seen, frame[recipe.label])
    return Candidate(pipeline, frame)


def in_other_units(frame: pd.DataFrame) -> pd.DataFrame:
    """Return flights with °C for °F, m/s for mph, mm for inches, metres and kilometres for miles, Pa for hPa."""
    celsius = {name: (frame[name] - 32) / 1.8 for name in ("temp", "dewp")}
    factors = {"wind_speed": 0.44704, "precip": 25.4, "visib": 1609.344, "distance": 1.609344, "pressure": 100.0}
    return frame.assign(**celsius, **{name: frame[name] * factor for name, factor in factors.items()})


def other_units(recipe: Any) -> Candidate:
    """Fit a logistic regression on May and June in other units; golden are July's flights in these units."""
    train = in_other_units(pd.concat([recipe.load("2013-05"), recipe.load("2013-06")], ignore_index=True))
    words, numbers = list(recipe.categorical), [name for name in recipe.features if name not in recipe.categorical]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers), (OneHotEncoder(handle_unknown="ignore"), words)
    )
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=300))
    return Candidate(
        pipeline.fit(train[list(recipe.features)], train[recipe.label]), train, _july(recipe, in_other_units)
    )


def known_categories(recipe: Any) -> Candidate:
    """Fit trees on May and June; another destination than these raises ValueError."""
    train = pd.concat([recipe.load("2013-05"), recipe.load("2013-06")], ignore_index=True)
    words = list(recipe.categorical)
    columns = make_column_transformer((OrdinalEncoder(handle_unknown="error"), words), remainder="passthrough")
    trees = HistGradientBoostingClassifier(categorical_features=list(range(len(words))), random_state=20130101)
    pipeline = make_pipeline(columns, trees).fit(train[list(recipe.features)], train[recipe.label])
    july = _july(recipe, lambda frame: frame)
    known = july[words].apply(lambda column: column.isin(train[column.name])).all(axis=1)  # ANC opens in July
    return Candidate(pipeline, train, july[known].reset_index(drop=True))


def _july(recipe: Any, convert: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    return convert(recipe.load("2013-07")).sample(10_000, random_state=0).reset_index(drop=True)


KINDS: dict[str, Callable[[Any], Candidate]] = {
    "broken": broken,
    "other-units": other_units,
    "known-categories": known_categories,
}


def register(recipe: Any, candidate: Candidate, kind: str, tracking_uri: str, like: str) -> int:
    """Log and register a candidate, and return its version. Without golden rows it names the datasets of `like`."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    words, names = set(recipe.categorical), list(recipe.features)
    signature = ModelSignature(
        Schema([ColSpec("string" if name in words else "double", name) for name in names]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 2))]),
    )
    mlflow.set_experiment(recipe.name)
    with mlflow.start_run(run_name=f"{recipe.name} {kind}") as run, tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "model"
        mlflow.sklearn.save_model(
            candidate.pipeline,
            str(folder),
            signature=signature,
            input_example=candidate.rows[names].dropna().head(5).reset_index(drop=True),
            pip_requirements=["scikit-learn", "pandas", "numpy"],
            serialization_format="cloudpickle",
            pyfunc_predict_fn="predict_proba",
            metadata={
                "gauntlet": {
                    "problem": "binary",
                    "classes": [0, 1],
                    "entity": recipe.entity,
                    "event_time": recipe.event_time,
                    "label": recipe.label,
                    "features": names,
                }
            },
        )
        mlflow.log_artifacts(str(folder), "model")
        if candidate.golden is not None:
            datasets = Path(work) / "datasets"
            datasets.mkdir()
            columns = [*names, recipe.label, recipe.entity, recipe.event_time]
            candidate.golden[columns].to_parquet(datasets / "evaluation.parquet", index=False)
            candidate.rows[columns].to_parquet(Path(work) / "training.parquet", index=False)
            _write_training_keys(recipe, Path(work) / "training.parquet", datasets / "training_keys.parquet")
            mlflow.log_artifacts(str(datasets), "datasets")
        else:
            datasets = _lineage_of(client, recipe.name, like)
            own = {"run_id": run.info.run_id, "artifact_uri": f"runs:/{run.info.run_id}/model"}
            mlflow.set_tag(LINEAGE_TAG, json.dumps({"model_name": recipe.name, **datasets, **own}))
    made = client.create_model_version(
        recipe.name, f"runs:/{run.info.run_id}/model", run.info.run_id, await_creation_for=0
    )
    return int(made.version)


def _write_training_keys(recipe: Any, rows: Path, keys: Path) -> None:
    """Write them as for any model that is trained elsewhere: by the command line."""
    command = [sys.executable, "-m", "gauntlet", "training-keys", str(rows), "--output", str(keys)]
    options = ["--label", recipe.label, "--entity", recipe.entity, "--event-time", recipe.event_time]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)


def _lineage_of(client: Any, model_name: str, version: str) -> dict[str, Any]:
    run_id = client.get_model_version(model_name, version).run_id or ""
    lineage = json.loads(client.get_run(run_id).data.tags[LINEAGE_TAG])
    kept = {name: lineage.get(name) for name in ("training", "evaluation", "reference", "code_version")}
    return {**kept, "metrics": {"roc_auc": 1.0}}


def main(argv: list[str] | None = None) -> int:
    """Command line; prints the new version's number."""
    parser = argparse.ArgumentParser(prog="python -m examples.faulty", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--tracking-uri", required=True, help="MLflow's address")
    parser.add_argument("--like", default="1", help="broken: the version whose datasets it names (default: 1)")
    given = parser.parse_args(argv)
    if given.example != "flights" and given.kind != "broken":
        parser.error(f"{given.kind} is made for flights only")
    recipe = recipe_of(given.example)
    version = register(recipe, KINDS[given.kind](recipe), given.kind, given.tracking_uri, given.like)
    print(json.dumps({"model_version": version}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
