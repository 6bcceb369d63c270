"""Registers a version that loads but raises on predict: `python -m examples.broken flights --tracking-uri URI`.

The pipeline was fitted with a column that is known only after the fact (the label itself), and its signature does not
mention it. So it looks excellent in training, and fails on the first row of production.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from examples.catalogue import EXAMPLES, recipe_of

AFTERWARDS = "known_only_afterwards"
LINEAGE_TAG = "gauntlet.lineage"
ROWS = 2000


def broken_pipeline(recipe: Any, frame: pd.DataFrame) -> Pipeline:
    """Fit on the features and the label; predicting without the label's column raises ValueError."""
    seen = frame[list(recipe.features)].assign(**{AFTERWARDS: frame[recipe.label].astype("float64")})
    columns = ColumnTransformer([("afterwards", FunctionTransformer(), [AFTERWARDS])], remainder="drop")
    return Pipeline([("columns", columns), ("regression", LogisticRegression())]).fit(seen, frame[recipe.label])


def register(recipe: Any, tracking_uri: str, like: str) -> int:
    """Log the broken pipeline with the datasets of version `like`, register it, and return its version."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    run_id = client.get_model_version(recipe.name, like).run_id or ""
    lineage = json.loads(client.get_run(run_id).data.tags[LINEAGE_TAG])
    frame = recipe.load(recipe.windows()[0]).head(ROWS)
    words, numbers = set(recipe.categorical), list(recipe.features)
    signature = ModelSignature(
        Schema([ColSpec("string" if name in words else "double", name) for name in numbers]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 2))]),
    )
    mlflow.set_experiment(recipe.name)
    with mlflow.start_run(run_name=f"{recipe.name} broken") as run, tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "model"
        mlflow.sklearn.save_model(
            broken_pipeline(recipe, frame),
            str(folder),
            signature=signature,
            input_example=frame[list(recipe.features)].dropna().head(5).reset_index(drop=True),
            pip_requirements=["scikit-learn", "pandas", "numpy"],
            pyfunc_predict_fn="predict_proba",
            metadata={
                "gauntlet": {
                    "problem": "binary",
                    "classes": [0, 1],
                    "entity": recipe.entity,
                    "event_time": recipe.event_time,
                    "label": recipe.label,
                    "features": list(recipe.features),
                }
            },
        )
        mlflow.log_artifacts(str(folder), "model")
        own = {"run_id": run.info.run_id, "artifact_uri": f"runs:/{run.info.run_id}/model", "metrics": {"roc_auc": 1.0}}
        kept = {name: lineage.get(name) for name in ("training", "evaluation", "reference", "code_version")}
        mlflow.set_tag(LINEAGE_TAG, json.dumps({"model_name": recipe.name, **kept, **own}))
    made = client.create_model_version(
        recipe.name, f"runs:/{run.info.run_id}/model", run.info.run_id, await_creation_for=0
    )
    return int(made.version)


def main(argv: list[str] | None = None) -> int:
    """Command line; prints the new version's number."""
    parser = argparse.ArgumentParser(prog="python -m examples.broken", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("--tracking-uri", required=True, help="MLflow's address")
    parser.add_argument("--like", default="1", help="the version whose datasets it names (default: 1)")
    given = parser.parse_args(argv)
    print(json.dumps({"model_version": register(recipe_of(given.example), given.tracking_uri, given.like)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
