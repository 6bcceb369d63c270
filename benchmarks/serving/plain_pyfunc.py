"""A model as code (MLflow's term): a pipeline, wrapped in a custom rule."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Ruled(PythonModel):
    def load_context(self, context: Any) -> None:
        self.pipeline = joblib.load(context.artifacts["pipeline"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        scores = self.pipeline.predict_proba(model_input)
        abroad = (model_input["c3"] == "abroad").to_numpy()
        scores[:, 1] = np.where(abroad, scores[:, 1] * 0.9, scores[:, 1])
        scores[:, 0] = 1 - scores[:, 1]
        return scores


set_model(Ruled())
