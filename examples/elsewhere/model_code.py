"""The model of models_from_code.py: MLflow keeps this file and runs it where the model is loaded."""

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Area(PythonModel):
    """Tumours of a large area are likely to be malignant (class 0)."""

    def predict(self, context, model_input: pd.DataFrame) -> np.ndarray:
        return 1 / (1 + np.exp((model_input["mean area"].to_numpy() - 700) / 60))


set_model(Area())
