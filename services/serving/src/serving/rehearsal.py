"""A dress rehearsal: one small model saved, loaded and asked, so that the first promoted one finds everything ready.

MLflow and scikit-learn import, scan and cache a good deal on first use; a promotion shall not wait for it.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.ensemble import HistGradientBoostingClassifier

from serving.mlflow_model import load
from serving.models import warm_up
from serving.policy import Artifact


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow warns of what is meant here."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def rehearse() -> None:
    """Blocks for a second or two."""
    features = pd.DataFrame({"a": [0.0, 1.0] * 20})
    estimator = HistGradientBoostingClassifier(max_iter=1).fit(features, [0, 1] * 20)
    with tempfile.TemporaryDirectory(prefix="gauntlet-rehearsal-") as folder, _quiet():
        mlflow.sklearn.save_model(
            estimator,
            Path(folder) / "model",
            pyfunc_predict_fn="predict_proba",
            signature=infer_signature(features, estimator.predict_proba(features)),
            input_example=features.head(1),
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        )
        warm_up(load(Artifact("rehearsal", 1, ""), Path(folder) / "model"))
