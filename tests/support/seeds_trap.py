"""The trap that this project began with: a champion judged on subscribers whom it was trained on, from the real data.

Features of StreamFlow's month_001, labels of month_000; a random forest of 300 trees, three quarters to train on and a
quarter to judge on. Champion and challenger differ in the seed of that split alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from chassis.row_keys import TrainedOn
from contracts import ModelRegistered
from contracts.policy import ModelPolicy
from examples import churn
from gatekeeper.evaluation.golden_rows import GoldenRows
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.evaluation.training_overlap import compare
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.sandbox.probe import Probe

ORIGINAL = Path(os.environ.get("STREAMFLOW_DATA", Path(__file__).parents[3] / "shared" / "data" / "streamflow"))
FEATURES = list(churn.recipe.features)
EVENT = ModelRegistered(model_name="churn", model_version=2)
POLICY = ModelPolicy.model_validate({"model": "churn", "entity": churn.USER, "golden": {"window": "holdout"}})


@dataclass(frozen=True)
class Trained:
    """A forest, and the keys of the rows that it has seen."""

    forest: object
    keys: TrainedOn

    def scores(self, rows: pd.DataFrame) -> np.ndarray:
        return self.forest.predict_proba(rows[FEATURES])[:, 1]  # type: ignore[attr-defined]


def subscribers() -> pd.DataFrame:
    """One row a subscriber of both snapshots."""
    features, labels = churn.recipe.load("month_001"), churn.recipe.load("month_000")
    columns = [churn.USER, "churn_label"]
    return features.drop(columns="churn_label").merge(labels[columns], on=churn.USER, how="inner")


def split(rows: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    training, validation = train_test_split(rows, test_size=0.25, random_state=seed, stratify=rows["churn_label"])
    return training, validation


def train(rows: pd.DataFrame, seed: int) -> Trained:
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer((words, list(churn.CATEGORICAL)), remainder="passthrough")
    forest = make_pipeline(columns, RandomForestClassifier(300, random_state=seed, n_jobs=2))
    forest.fit(rows[FEATURES], rows["churn_label"])
    return Trained(forest, TrainedOn.of(rows, FEATURES, churn.USER))


def measurements(champion_seed: int = 7, seed: int = 42) -> Measurements:
    """What the gatekeeper would have measured: the challenger's own validation rows are the golden ones."""
    rows = subscribers()
    champion = train(split(rows, champion_seed)[0], champion_seed)
    training, validation = split(rows, seed)
    challenger = train(training, seed)
    truth = validation["churn_label"].to_numpy()
    golden = GoldenRows(
        rows=validation.drop(columns="churn_label").reset_index(drop=True),
        truth=truth,
        classes=(0, 1),
        label="churn_label",
        found=len(truth),
        unlabelled=0,
        not_features=frozenset({churn.USER}),
        entity=churn.USER,
    )
    return Measurements(
        event=EVENT,
        problem="binary",
        champion=Champion(1, 1, "models:/churn/1", "sha256:aa"),
        golden=golden,
        overlap=compare(challenger.keys, golden),
        champion_overlap=compare(champion.keys, golden),
        probe=Probe(golden=challenger.scores(validation)),
        champion_answers=_answers(champion.scores(validation)),
    )


def _answers(scores: np.ndarray) -> Predictions:
    return Predictions((scores >= 0.5).astype(np.int64), scores)
