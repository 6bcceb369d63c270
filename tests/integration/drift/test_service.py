"""Drift as it runs: a real process, broker, MLflow and database; what is judged, what is announced, and why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chassis.digests import digest_file
from contracts import Dataset, GroundTruthReceived, Output, OutputFormat, PredictionMade, new_envelope
from contracts.golden_predictions import EVENT_TIME, LABEL, PREDICTION, SCORE
from support.bus_client import BusClient
from support.drifting import WINDOW, DriftService, customers, detected, log_reference, predictions, promotion, truths
from support.mlflow_server import MlflowServer
from support.waiting import eventually


def test_a_window_like_the_reference_is_judged_and_nobody_is_told(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    drift.publish([promotion(model=shop, reference=reference)])
    drift.publish(predictions(customers(WINDOW + 50, 2), model=shop))
    window = drift.window_that(lambda window: window["state"] == "scored", shop)
    assert (window["data"]["outcome"], window["data"]["event_id"]) == ("Passed", None)
    assert {score["feature"] for score in window["data"]["scores"]} == {"age", "spend", "plan"}
    assert drift.windows(shop)[1]["progress"] == f"50/{WINDOW}"
    assert detected(bus, shop) == []


@pytest.mark.parametrize("when", ["before", "late"])
def test_wrong_answers_are_a_performance_drift_whether_labels_come_before_or_late(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset, when: str
) -> None:
    made = predictions(customers(WINDOW, 2), model=shop)
    labels = truths(made, right=False)
    drift.publish([promotion(model=shop, reference=reference)])
    if when == "before":
        drift.publish(labels)
        eventually(lambda: drift.behind(GroundTruthReceived) == 0)
        drift.publish(made)
    else:
        drift.publish(made)
        assert drift.window_that(lambda window: window["state"] == "scored", shop)["performance"]["outcome"] is None
        drift.publish(labels[:-1] + labels[:-1])
        drift.window_that(lambda window: window["labelled"] == WINDOW - 1, shop)
        assert drift.windows(shop)[0]["performance"]["outcome"] is None, "the last label may come yet"
        drift.publish(labels[-1:])
    [event] = eventually(lambda: detected(bus, shop), timeout=60)
    assert (event.kind, event.metric, event.observed) == ("performance", "roc_auc", 0.0)
    assert event.bound == pytest.approx(0.9 - 0.045)
    assert "below its bound 0.8550 (baseline 0.9000, may be worse by 5 % of the baseline, the baseline" in event.reason
    assert (event.window.labelled, event.low) == (WINDOW, 0.0)
    assert 0.0 < event.high < 0.05
    assert event.budget == "1 false alarm in 20 windows"
    assert f"on {WINDOW} labelled rows" in event.reason
    drift.publish(labels)
    eventually(lambda: drift.idle(shop), timeout=60)
    assert len(detected(bus, shop)) == 1
    assert "The model performs worse on these rows than it must." in drift.drawn(f"{shop}-v1-w1")


def test_right_answers_are_no_performance_drift(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    made = predictions(customers(WINDOW, 2), model=shop)
    drift.publish([promotion(model=shop, reference=reference), *made, *truths(made)])
    window = drift.window_that(lambda window: window["performance"]["outcome"], shop)
    assert window["performance"]["outcome"] == "Passed"
    assert window["performance"]["observed"] == window["performance"]["high"] == 1.0
    assert 0.95 < window["performance"]["low"] < 1.0
    assert detected(bus, shop) == []
    labels = drift.ask(f"/models/{shop}")[1]["champion"]["labels"]
    assert (labels["counted"], labels["problem"]) == (WINDOW, None)
    assert labels["delay_seconds"]["p50"] <= labels["delay_seconds"]["p99"] <= 128


def test_the_uncertainty_of_the_golden_predictions_is_allowed_for(
    drift: DriftService, shop: str, reference: Dataset, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 500)
    rows = pd.DataFrame({LABEL: truth, SCORE: np.clip(rng.normal(0.3 + 0.4 * truth, 0.3), 0, 1), PREDICTION: truth})
    golden = log_reference(mlflow_server.uri, rows, tmp_path)
    made = predictions(customers(WINDOW, 2), model=shop)
    promoted = promotion(model=shop, reference=reference)
    promoted = promoted.model_copy(update={"data": promoted.data.model_copy(update={"golden_predictions": golden})})
    drift.publish([promoted, *truths(made), *made])
    window = drift.window_that(lambda window: window["performance"]["outcome"], shop)["performance"]
    found = re.search(r"and by 0\.(\d+) more, as the baseline has a standard error of 0\.(\d+)", window["reason"])
    assert found, window["reason"]
    assert 100 < int(found[2]) < 300
    assert int(found[1]) == pytest.approx(0.842 * int(found[2]), abs=2)


def test_a_model_without_labels_says_so(own_drift: DriftService, own_bus: BusClient, reference: Dataset) -> None:
    own_drift.settings["DRIFT_LABEL_MATURITY"] = "2s"
    own_drift.start_ready()
    own_drift.publish([promotion(reference=reference), *predictions(customers(WINDOW, 2))])
    reason = "no label came within 2 s of the predictions: performance cannot be judged"
    window = own_drift.window_that(lambda window: window["performance"]["outcome"])
    assert (window["performance"]["outcome"], window["performance"]["reason"]) == ("Inconclusive", reason)
    assert own_drift.ask("/models/shop")[1]["champion"]["labels"]["problem"] == reason


@pytest.mark.parametrize(
    ("classes", "written"),
    [(("no", "yes"), ("no", "yes")), (("yes", "no"), ("yes", "no")), ((), ("0", "1")), ((False, True), (0.0, "True"))],
)
def test_labels_are_read_by_the_classes_of_the_promotion_however_they_are_written(
    drift: DriftService, shop: str, reference: Dataset, classes: tuple[Any, ...], written: tuple[Any, Any]
) -> None:
    made = predictions(customers(WINDOW, 2), model=shop)
    output = OutputFormat(problem="binary", classes=classes)
    drift.publish([promotion(model=shop, reference=reference, output=output), *made, *truths(made, names=written)])
    window = drift.window_that(lambda window: window["performance"]["outcome"], shop)
    assert (window["performance"]["outcome"], window["performance"]["observed"]) == ("Passed", 1.0)


def test_labels_that_cannot_be_read_are_counted_with_one_of_them(
    drift: DriftService, shop: str, reference: Dataset
) -> None:
    made = predictions(customers(WINDOW, 2), model=shop)
    drift.publish([promotion(model=shop, reference=reference), *made, *truths(made, names=("yes", "yes"))])
    reason = drift.window_that(lambda window: window["performance"]["outcome"], shop)["performance"]["reason"]
    assert reason.startswith(f"not enough labelled rows: 0 of {WINDOW}, at least 200; ")
    assert "labels could not be read, for example 'yes': it is none of the classes 0, 1" in reason


@pytest.mark.parametrize(
    ("metric", "observed"),
    [
        ("mase", 0.5),
        ("directional_accuracy", 1.0),
        ("smape", sum(2 / (4 * n + 5) for n in range(WINDOW)) / WINDOW),
        ("pinball_90", 0.9),
    ],
)
def test_a_forecast_is_watched_by_its_metric_in_the_order_of_the_rows(
    drift: DriftService, shop: str, reference: Dataset, metric: str, observed: float
) -> None:
    """Each truth is 2 more than the one before, each prediction 1 less than the truth."""
    made, labels = [], []
    for number, envelope in enumerate(predictions(customers(WINDOW, 2), model=shop)):
        champion = Output(model_version=1, label=2.0 * number + 2)
        data = envelope.data.model_copy(update={"champion": champion})
        made.append(envelope.model_copy(update={"data": data}))
        truth = GroundTruthReceived(
            model_name=shop, request_id=data.request_id, row=data.row, label=f"{2.0 * number + 3}"
        )
        labels.append(new_envelope(truth, source="test"))
    output, baseline = OutputFormat(problem="regression"), {"mae": 2.0, "mase": 1.0, metric: 1.0}
    drift.publish([promotion(model=shop, reference=reference, output=output, metric=metric, baseline=baseline)])
    drift.publish([*labels, *made])
    window = drift.window_that(lambda window: window["performance"]["outcome"], shop)["performance"]
    assert window["observed"] == pytest.approx(observed), window["reason"]
    assert window["outcome"] == "Passed"


def test_during_the_cooldown_drift_is_seen_and_not_announced_and_a_promotion_ends_it(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    drift.publish([promotion(model=shop, reference=reference)])
    drift.publish(predictions(customers(3 * WINDOW, 2, shift=1.0), model=shop))
    eventually(lambda: [w["state"] for w in drift.windows(shop)] == ["scored"] * 3, timeout=90)
    first, *others = drift.windows(shop)
    assert first["data"]["event_id"] == f"{shop}-v1-w1:data"
    for window in others:
        assert (window["data"]["outcome"], window["data"]["event_id"]) == ("Failed", None)
        assert "cooling down until" in window["data"]["held"]
    _, model = drift.ask(f"/models/{shop}")
    assert model["champion"]["cooling_until"] > model["champion"]["last_detected_at"]

    drift.publish([promotion(model=shop, version=2, epoch=2, reference=reference)])
    eventually(lambda: drift.ask(f"/models/{shop}")[1]["champion"]["model_version"] == 2)
    drift.publish(predictions(customers(WINDOW, 3, shift=1.0), model=shop, version=2))
    eventually(lambda: len(detected(bus, shop)) == 2, timeout=60)
    assert [event.window.id for event in detected(bus, shop)] == [f"{shop}-v1-w1", f"{shop}-v2-w1"]


def test_by_a_budget_a_column_of_zeros_is_announced_when_a_second_window_has_it(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    drift.policy(f"{{window: {{rows: {WINDOW}}}, cooldown: 1h}}", shop)
    drift.publish([promotion(model=shop, reference=reference)])
    eventually(lambda: (drift.ask(f"/models/{shop}")[1] or {}).get("rules", {}).get("budget"), timeout=60)
    usual, broken = customers(WINDOW, 2), customers(2 * WINDOW, 3).assign(age=0.0)
    vanished = customers(WINDOW, 4).drop(columns="spend")
    drift.publish(predictions(pd.concat([usual, broken]), model=shop) + predictions(vanished, model=shop))
    eventually(lambda: [window["state"] for window in drift.windows(shop)] == ["scored"] * 4, timeout=90)
    first, held, announced, last = (window["data"] for window in drift.windows(shop))
    assert [window["outcome"] for window in (first, held, announced, last)] == ["Passed", *["Failed"] * 3]
    assert "none of 3 features drifted; limits from 400 random splits of the reference" in first["reason"]
    assert held["held"] == "not announced: seen in 1 of the last 3 windows, announced from 2"
    assert "spend (missing share 1.000 > " in last["reason"]
    assert first["limits"]["share_rule"] == {"share": 0.5, "alarms": first["limits"]["share_rule"]["alarms"], "of": 400}
    [event] = detected(bus, shop)
    assert event.window.id == f"{shop}-v1-w3"
    assert (event.budget, event.assumption) == ("1 false alarm in 20 windows", "iid")
    worst = event.scores[0]
    assert (worst.feature, worst.drifted) == ("age", True)
    assert worst.expected is not None
    assert worst.expected < worst.limit < worst.score
    status, [limits] = drift.ask(f"/models/{shop}/limits")
    assert (status, limits["size"], limits["assumption"], limits["model_version"]) == (200, WINDOW, "iid", 1)
    assert {"feature": worst.feature, "method": worst.method, "expected": worst.expected, "limit": worst.limit} in (
        limits["columns"]
    )


def test_score_judges_the_rows_there_are_and_refuses_fewer_than_200(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    drift.publish([promotion(model=shop, reference=reference)])
    eventually(lambda: drift.ask(f"/models/{shop}")[0] == 200)
    made = predictions(customers(250, 2, shift=1.0), model=shop)
    status, problem = drift.ask(f"/models/{shop}/score", "POST")
    assert (status, problem["rows"], problem["minimum"]) == (409, 0, 200)
    drift.publish(made[:199])
    drift.window_that(lambda window: window["rows"] == 199, shop)
    status, problem = drift.ask(f"/models/{shop}/score", "POST")
    assert (status, problem["title"], problem["rows"]) == (409, "not enough rows", 199)
    assert "199 of at least 200" in problem["detail"]
    drift.publish(made[199:])
    drift.window_that(lambda window: window["rows"] == 250, shop)
    status, accepted = drift.ask(f"/models/{shop}/score", "POST")
    assert (status, accepted["window"], accepted["rows"]) == (202, f"{shop}-v1-w1", 250)
    [event] = eventually(lambda: detected(bus, shop), timeout=60)
    assert event.window.rows == 250
    assert drift.ask(f"/models/{shop}/score", "POST")[0] == 409


def test_the_promotion_and_the_reference_may_come_long_after_the_rows(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    drift.publish(predictions(customers(WINDOW, 2, shift=1.0), model=shop))
    drift.window_that(lambda window: window["state"] == "complete", shop)
    assert drift.ask(f"/models/{shop}")[1]["champion"] is None
    assert drift.ask(f"/models/{shop}/score", "POST")[1]["title"] == "no champion"
    drift.publish([promotion(model=shop, reference=reference)])
    assert eventually(lambda: detected(bus, shop), timeout=60)


def test_a_reference_that_was_changed_is_refused_and_said(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    changed = reference.model_copy(update={"digest": "sha256:" + "e" * 64})
    drift.publish([promotion(model=shop, reference=changed)])
    drift.publish(predictions(customers(WINDOW, 2, shift=1.0), model=shop))
    window = drift.window_that(lambda window: window["state"] == "failed", shop)
    assert window["data"]["outcome"] == "Inconclusive"
    assert "somebody changed it" in window["data"]["reason"]
    assert detected(bus, shop) == []


def test_a_reference_outside_the_registry_is_not_opened_and_the_verdict_says_which_setting_would_allow_it(
    drift: DriftService, shop: str, bus: BusClient, tmp_path: Path
) -> None:
    """The file is there, and has this digest: a promotion that names it is all that it would take."""
    file = tmp_path / "reference.parquet"
    customers(WINDOW, 1).to_parquet(file)
    named = Dataset(uri=file.as_uri(), digest=digest_file(file), rows=WINDOW)
    drift.publish([promotion(model=shop, reference=named), *predictions(customers(WINDOW, 2, shift=1.0), model=shop)])
    window = drift.window_that(lambda window: window["state"] == "failed", shop)
    assert f"{file.as_uri()!r} is refused: it is a file outside the registry" in window["data"]["reason"]
    assert "ALLOWED_URI_PREFIXES" in window["data"]["reason"]
    assert detected(bus, shop) == []


def test_a_column_that_cannot_be_drawn_and_an_integer_beyond_any_float_leave_the_verdict(
    drift: DriftService, shop: str, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    reference = log_reference(mlflow_server.uri, customers(5000, 1).assign(id=range(10**18, 10**18 + 5000)), tmp_path)
    rows = customers(WINDOW, 2, shift=1.0).assign(id=range(10**18, 10**18 + WINDOW)).astype({"age": object})
    rows.loc[0, "age"] = 10**400
    drift.publish([promotion(model=shop, reference=reference), *predictions(rows, model=shop)])
    window = drift.window_that(lambda window: window["data"]["outcome"], shop)
    assert (window["state"], window["data"]["outcome"]) == ("scored", "Failed"), window["data"]["reason"]
    page = drift.drawn(f"{shop}-v1-w1")
    assert "Left out of the drawing: id (no histogram fits its values" in page


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ([], "nothing to compare: the predictions of the window carry no features"),
        (["wage"], "nothing to compare: the features of the predictions (wage) and of the reference"),
    ],
)
def test_nothing_to_compare_is_a_sentence_in_the_verdict(
    drift: DriftService, shop: str, reference: Dataset, columns: list[str], says: str
) -> None:
    rows = customers(WINDOW, 2).rename(columns={"age": "wage"})[columns]
    drift.publish([promotion(model=shop, reference=reference), *predictions(rows, model=shop)])
    window = drift.window_that(lambda window: window["data"]["outcome"], shop)
    assert (window["state"], window["data"]["outcome"]) == ("scored", "Inconclusive")
    assert window["data"]["reason"].startswith(says)


def test_a_promotion_without_a_reference_leaves_windows_inconclusive(drift: DriftService, shop: str) -> None:
    drift.publish([promotion(model=shop), *predictions(customers(WINDOW, 2), model=shop)])
    window = drift.window_that(lambda window: window["state"] == "refused", shop)
    assert "names neither reference nor golden rows" in window["data"]["reason"]
    said = drift.ask(f"/models/{shop}")[1]["champion"]["features"]
    assert said.startswith("not watched: ") and f"gauntlet register {shop} VERSION --reference FILE" in said


def test_without_a_reference_windows_are_compared_with_the_golden_rows(
    drift: DriftService, shop: str, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """Their labels and predictions are no features."""
    own = {LABEL: 1, PREDICTION: 1, EVENT_TIME: pd.Timestamp("2026-01-01", tz="UTC")}
    golden = log_reference(mlflow_server.uri, customers(3000, 9).assign(**own), tmp_path)
    envelope = promotion(model=shop)
    promoted = envelope.model_copy(update={"data": envelope.data.model_copy(update={"golden_predictions": golden})})
    drift.publish([promoted, *predictions(customers(WINDOW, 2), model=shop)])
    drift.publish(predictions(customers(WINDOW, 4, shift=1.0), model=shop))
    drift.window_that(lambda window: window["number"] == 2 and window["state"] == "scored", shop)
    usual, drifted = drift.windows(shop)
    assert [usual["data"]["outcome"], drifted["data"]["outcome"]] == ["Passed", "Failed"]
    assert usual["data"]["reason"].endswith("; compared with the golden rows")
    assert {score["feature"] for score in drifted["data"]["scores"]} == {"age", "spend", "plan"}
    assert usual["data"]["not_compared"] == {}
    assert "compared with the golden rows" in drift.ask(f"/models/{shop}")[1]["champion"]["features"]
    assert LABEL not in drift.drawn(drifted["id"])


def test_bad_messages_become_dead_letters_and_the_rows_around_them_are_kept(
    drift: DriftService, shop: str, bus: BusClient, reference: Dataset
) -> None:
    drift.publish([promotion(model=shop, reference=reference)])
    made = predictions(customers(3, 2), model=shop)
    drift.publish(made[:1])
    bus.raw(PredictionMade.topic, shop.encode(), b"not json")
    bus.raw(GroundTruthReceived.topic, shop.encode(), f'{{"model_name": "{shop}", "label": 1}}'.encode())
    drift.publish(made[1:])
    letters = eventually(lambda: len(found := bus.dead_letters()) == 2 and found, timeout=60)
    assert any("neither request_id nor entity_id" in letter.error for letter in letters.values())
    drift.window_that(lambda window: window["rows"] == 3, shop)
