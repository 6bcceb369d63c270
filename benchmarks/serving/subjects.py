"""The models that every server serves, the rows, and the native model's predictions for them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from chassis.digests import digest_tree
from support.versions import save

Row = dict[str, Any]
Rows = list[Row]

NUMBERS = [f"f{number}" for number in range(16)]
CATEGORIES = [f"c{number}" for number in range(4)]
LEVELS = ("north", "east", "south", "west", "centre", "abroad")
TRAINING_ROWS, ONES, BATCHES, BATCH_ROWS = 5000, 64, 8, 100

COMPILABLE, PYFUNC = "gradient boosting, 20 features", "plain pyfunc"
ROLES = {"problem": "binary", "classes": [0, 1]}


@dataclass(frozen=True)
class Subject:
    """A saved MLflow model; `scores` are the native probabilities of class 1, one list per request."""

    name: str
    folder: Path
    digest: str
    requests: list[Rows]
    scores: list[list[float]]

    def sized(self, rows: int) -> list[Rows]:
        return [request for request in self.requests if len(request) == rows]


def frame_of(random: np.random.Generator, rows: int) -> pd.DataFrame:
    numbers = pd.DataFrame(random.normal(size=(rows, len(NUMBERS))).round(4), columns=NUMBERS)
    return numbers.assign(**{name: random.choice(LEVELS, rows) for name in CATEGORIES})


def fitted() -> Any:
    random = np.random.default_rng(0)
    frame = frame_of(random, TRAINING_ROWS)
    odds = frame["f0"] + frame["f1"] * frame["f2"] + (frame["c0"] == "north") - (frame["c1"] == "west")
    label = (odds + random.normal(size=len(frame)) > 0).astype(int)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
    )
    with threadpool_limits(1):
        return make_pipeline(columns, HistGradientBoostingClassifier(random_state=0)).fit(frame, label)


def subjects(folder: Path) -> list[Subject]:
    """Save both below `folder`; the second wraps the first in Python code that no compiler can take."""
    model, example = fitted(), frame_of(np.random.default_rng(1), 5)
    compilable = folder / "gradient_boosting"
    digest = save(model, compilable, example=example, roles=ROLES)
    plain = folder / "pyfunc"
    return [subject(COMPILABLE, compilable, digest), subject(PYFUNC, plain, save_pyfunc(model, plain, example))]


def save_pyfunc(model: Any, folder: Path, example: pd.DataFrame) -> str:
    with tempfile.TemporaryDirectory() as name:
        pickled = Path(name) / "pipeline.joblib"
        joblib.dump(model, pickled)
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(Path(__file__).with_name("plain_pyfunc.py")),
            artifacts={"pipeline": str(pickled)},
            signature=infer_signature(example, model.predict_proba(example)),
            input_example=example,
            pip_requirements=["scikit-learn"],
            metadata={"gauntlet": ROLES},
        )
    return digest_tree(folder)


def subject(name: str, folder: Path, digest: str) -> Subject:
    random = np.random.default_rng(2)
    frames = [frame_of(random, rows) for rows in [1] * ONES + [BATCH_ROWS] * BATCHES]
    native = mlflow.pyfunc.load_model(str(folder))
    scores = [np.asarray(native.predict(frame))[:, 1].tolist() for frame in frames]
    requests: list[Any] = [frame.to_dict("records") for frame in frames]
    return Subject(name, folder, digest, requests, scores)
