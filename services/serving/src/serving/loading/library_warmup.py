"""Load a small model and predict with it, so that the libraries are initialised before the first promotion.

MLflow and scikit-learn import, scan and cache a good deal on first use; a promotion must not wait for it.
"""

from __future__ import annotations

import logging
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow.models import Model, infer_signature
from sklearn.ensemble import HistGradientBoostingClassifier

from serving.inference.mlflow_model import load
from serving.inference.model import warm_up_with
from serving.policy.versions import Artifact

PICKLE = "model.pkl"


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress MLflow's warnings about what is intended here."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def warm_up_libraries() -> None:
    """Load and call a small model. Blocks for a quarter of a second.

    The model is assembled from its parts: MLflow's own `save_model` would scan every file of every installed
    distribution, for requirements that are not needed here.
    """
    features = pd.DataFrame({"a": [0.0, 1.0] * 20})
    estimator = HistGradientBoostingClassifier(max_iter=1).fit(features, [0, 1] * 20)
    description = Model(signature=infer_signature(features, estimator.predict_proba(features)))
    mlflow.pyfunc.add_to_model(
        description, loader_module="mlflow.sklearn", model_path=PICKLE, predict_fn="predict_proba"
    )
    description.add_flavor("sklearn", pickled_model=PICKLE, serialization_format="pickle")
    with tempfile.TemporaryDirectory(prefix="gauntlet-rehearsal-") as folder, _quiet():
        (Path(folder) / PICKLE).write_bytes(pickle.dumps(estimator))
        description.save(str(Path(folder) / "MLmodel"))
        model = load(Artifact("rehearsal", 1, ""), Path(folder))
        warm_up_with(model, features.head(1).to_dict("records"), "the rehearsal's rows")
