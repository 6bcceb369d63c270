"""BentoML's service with its adaptive batching, which takes lists; given DataFrames, 1.4.39 never responds."""

import os
import pickle
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pandas as pd


@bentoml.service(workers=int(os.environ["WORKERS"]))
class Scorer:
    def __init__(self) -> None:
        self.model = pickle.loads((Path(os.environ["MODEL"]) / "model.pkl").read_bytes())

    @bentoml.api(batchable=True, max_batch_size=1000)
    def predict(self, rows: list[dict[str, Any]]) -> np.ndarray:
        return self.model.predict_proba(pd.DataFrame(rows))
