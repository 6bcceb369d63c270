"""The obvious first version: a pydantic model per row, and the scikit-learn pipeline on a DataFrame."""

import os
import pickle
from pathlib import Path

import pandas as pd
from fastapi import FastAPI
from pydantic import create_model

NUMBERS = [f"f{number}" for number in range(16)]
CATEGORIES = [f"c{number}" for number in range(4)]
Row = create_model("Row", **dict.fromkeys(NUMBERS, float), **dict.fromkeys(CATEGORIES, str))  # type: ignore[call-overload]
Rows = create_model("Rows", rows=list[Row])  # type: ignore[valid-type]

app = FastAPI()
model = pickle.loads((Path(os.environ["MODEL"]) / "model.pkl").read_bytes())


@app.post("/predict")
def predict(body: Rows) -> dict[str, list[float]]:
    frame = pd.DataFrame([row.model_dump() for row in body.rows])
    return {"scores": model.predict_proba(frame)[:, 1].tolist()}
