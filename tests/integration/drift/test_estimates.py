"""Estimates without labels: announced as such beside the drift of the data, whose harm they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from contracts import Dataset, Envelope, Harm, Output, OutputFormat, PredictionMade
from contracts.golden_predictions import LABEL, PREDICTION, SCORE
from support.bus_client import BusClient
from support.drifting import WINDOW, DriftService, customers, detected, log_reference, predictions, promotion
from support.mlflow_server import MlflowServer
from support.waiting import eventually

IMPORTANCE = {"age": 0.2, "spend": 0.05, "plan": 0.0}


def golden_rows() -> pd.DataFrame:
    """Scores from 0 to 1 that are calibrated."""
    random = np.random.default_rng(11)
    score = random.random(3000)
    own = {LABEL: (random.random(3000) < score).astype(int), PREDICTION: (score >= 0.5).astype(int), SCORE: score}
    return customers(3000, 9).assign(**own)


def scored(model: str, frame: pd.DataFrame, low: float, high: float) -> list[Envelope[PredictionMade]]:
    """Events whose scores are uniform between two values."""
    scores = np.random.default_rng(3).uniform(low, high, len(frame))
    found = []
    for envelope, score in zip(predictions(frame, model=model), scores.tolist(), strict=True):
        champion = Output(model_version=1, score=score, label=int(score >= 0.5))
        found.append(envelope.model_copy(update={"data": envelope.data.model_copy(update={"champion": champion})}))
    return found


def test_a_drift_is_announced_with_its_harm_and_estimates_decide_nothing(
    drift: DriftService,
    shop: str,
    bus: BusClient,
    reference: Dataset,
    mlflow_server: MlflowServer,
    tmp_path: Path,
) -> None:
    golden = golden_rows()
    more: dict[str, Any] = {
        "golden_predictions": log_reference(mlflow_server.uri, golden, tmp_path),
        "importance": IMPORTANCE,
    }
    baseline = {"roc_auc": float(roc_auc_score(golden[LABEL], golden[SCORE]))}
    output = OutputFormat(problem="binary", classes=(0, 1))
    envelope = promotion(model=shop, reference=reference, baseline=baseline, output=output)
    drift.publish([envelope.model_copy(update={"data": envelope.data.model_copy(update=more)})])

    drift.publish(scored(shop, customers(WINDOW, 2), 0.0, 1.0))
    drift.window_that(lambda window: window["state"] == "scored", shop)
    assert detected(bus, shop) == [], "as the golden rows"

    drift.publish(scored(shop, customers(2 * WINDOW, 4, shift=1.0), 0.4, 0.6))
    eventually(lambda: [window["state"] for window in drift.windows(shop)] == ["scored"] * 3, timeout=90)
    events = {event.kind.value: event for event in eventually(lambda: detected(bus, shop), timeout=60)}
    assert sorted(events) == ["data", "prediction", "proxy"], "none of them uses up the cooldown of another"
    assert len(detected(bus, shop)) == 3, "the third window is within the cooldown of each"
    assert [kind for kind, event in sorted(events.items()) if event.decides] == ["data"]

    harm = events["data"].harm
    assert harm is not None and harm.harm is Harm.HARMFUL, harm
    assert harm.metric == "roc_auc" and harm.baseline == baseline["roc_auc"]
    assert harm.estimated is not None and harm.estimated < 0.65 < 0.8 < harm.baseline
    assert set(harm.importance) <= set(IMPORTANCE) and "age" in harm.importance
    assert "its predictions have changed" in harm.reason

    proxy = events["proxy"]
    assert proxy.proxy and proxy.metric == "roc_auc" and proxy.observed == harm.estimated
    assert proxy.low is not None and proxy.high is not None and proxy.bound is not None
    assert proxy.low < proxy.observed < proxy.high < proxy.bound
    [score] = events["prediction"].scores
    assert (score.feature, score.method, score.drifted) == ("scores", "wasserstein", True)
    assert score.expected is not None and score.expected < score.limit < score.score
    assert events["prediction"].assumption == "iid"
