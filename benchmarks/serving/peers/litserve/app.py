"""LitServe with its batching; all rows of a batch of requests are one DataFrame."""

import os
import pickle
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import pandas as pd


class Scorer(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = pickle.loads((Path(os.environ["MODEL"]) / "model.pkl").read_bytes())

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return request["rows"]

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, requests: list[Any]) -> list[Any]:
        scores = self.model.predict_proba(pd.DataFrame([row for rows in requests for row in rows]))[:, 1]
        return np.split(scores, np.cumsum([len(rows) for rows in requests])[:-1])

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, list[float]]:
        return {"scores": output.tolist()}


if __name__ == "__main__":
    workers = int(os.environ["WORKERS"])
    server = litserve.LitServer(
        Scorer(max_batch_size=64, batch_timeout=0.005), accelerator="cpu", workers_per_device=workers
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=workers,
        log_level="warning",
        generate_client_file=False,
    )
