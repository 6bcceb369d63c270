"""Curves of predictions against scikit-learn's, and the pictures made of them from evidence as it is stored."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from chassis.errors import Transient
from gatekeeper.charts.predictions import calibration_chart, errors_chart, roc_chart
from gatekeeper.console.verdict_pictures import VerdictPictures
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.policy.statistics import curves
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.replay import Replayer
from gatekeeper.report.pictures import pictures_of
from support.evidence_world import POLICY, World
from unit.gatekeeper.test_report import view

RANDOM = np.random.default_rng(11)


def scores(kind: str) -> tuple[np.ndarray, np.ndarray]:
    n = 3000
    truth = (RANDOM.random(n) < 0.3).astype(np.int64)
    found = {
        "continuous": np.clip(RANDOM.beta(2, 3, n) + 0.2 * truth, 0, 1),
        "few": np.round(np.clip(RANDOM.random(n) * 0.6 + 0.4 * truth, 0, 1), 1),
        "constant": np.full(n, 0.3),
        "perfect": truth.astype(np.float64),
        "backwards": 1.0 - truth,
        "edges": RANDOM.choice([0.0, 0.1, 0.5, 0.9, 1.0], n),
    }[kind]
    return truth, found


KINDS = ("continuous", "few", "constant", "perfect", "backwards", "edges")


@pytest.mark.parametrize("kind", KINDS)
def test_roc_is_scikit_learns(kind: str) -> None:
    truth, found = scores(kind)
    false, true, _ = roc_curve(truth, found, drop_intermediate=False)
    whole, thin = curves.roc(truth, found, most=10**6), curves.roc(truth, found)
    assert whole is not None and thin is not None
    assert np.allclose(whole.false_positive, false) and np.allclose(whole.true_positive, true)
    assert whole.area == thin.area == pytest.approx(roc_auc_score(truth, found))
    assert len(thin.true_positive) <= curves.MOST_POINTS
    points = set(zip(false.tolist(), true.tolist(), strict=True))
    assert set(zip(thin.false_positive.tolist(), thin.true_positive.tolist(), strict=True)) <= points
    assert (thin.false_positive[0], thin.true_positive[0]) == (0, 0)
    assert (thin.false_positive[-1], thin.true_positive[-1]) == (1, 1)
    assert np.trapezoid(thin.true_positive, thin.false_positive) == pytest.approx(whole.area, abs=0.002)


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_is_scikit_learns(kind: str) -> None:
    truth, found = scores(kind)
    share, mean = calibration_curve(truth, found, n_bins=curves.BINS)
    own = curves.calibration(truth, found)
    assert own is not None
    assert np.allclose(own.share, share) and np.allclose(own.score, mean)
    assert own.rows.sum() == len(truth) and own.rows.min() > 0


def test_what_has_no_curve() -> None:
    assert curves.roc(np.ones(5), np.linspace(0, 1, 5)) is None, "one class"
    assert curves.calibration(np.ones(2), np.array([0.5, 1.5])) is None, "no probability"
    assert curves.calibration(np.ones(0), np.zeros(0)) is None
    assert curves.residuals(np.array([np.nan]), np.array([1.0])) == []


def test_residuals_share_their_bins_and_count_every_row() -> None:
    narrow, wide = RANDOM.normal(size=4000), RANDOM.normal(1, 3, size=4000)
    one, other = curves.residuals(narrow, wide)
    assert one.edges is other.edges and len(one.edges) == curves.RESIDUAL_BINS + 1
    assert one.shares.sum() == pytest.approx(1) and other.shares.sum() == pytest.approx(1)
    inner = slice(1, -1)
    counted = np.histogram(wide, one.edges)[0] / 4000
    assert np.allclose(other.shares[inner], counted[inner])
    (same,) = curves.residuals(np.zeros(9))
    assert same.shares.max() == 1


def test_charts_show_the_numbers_that_they_are_drawn_from() -> None:
    truth, found = scores("continuous")
    roc, calibration = curves.roc(truth, found), curves.calibration(truth, found)
    assert roc is not None and calibration is not None
    drawn = roc_chart([("<b>v2</b>", roc)], 3000)
    assert f"{roc.area:.4f}" in drawn.description and "3,000" in drawn.description
    assert "<b>" not in drawn.svg and len(drawn.rows) == len(roc.true_positive)
    rows = calibration_chart([("v2", calibration)], 3000, "it is so").rows
    assert [row[3] for row in rows] == calibration.rows.tolist()
    (histogram,) = curves.residuals(found - truth)
    assert sum(row[3] for row in errors_chart([("v2", histogram)], 3000).rows) == pytest.approx(1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_pictures_are_of_the_rows_that_the_gate_compared(world: World) -> None:
    measurements = world.measurements()
    verdicts = {each.gate: each for each in run_gates(measurements, POLICY)}
    found = pictures_of(measurements, POLICY)
    assert [chart.id for chart in found.charts] == ["roc", "calibration"] and found.notes == ()
    details = verdicts["performance"].details
    assert f"v2 {details['challenger']:.4f}" in found.charts[0].description
    assert f"champion v1 {details['champion']:.4f}" in found.charts[0].description
    assert f"{verdicts['performance'].n:,} golden rows" in found.charts[0].description


def test_why_pictures_are_missing_is_said(world: World) -> None:
    alone = world.measurements(champion=None, champion_answers=None, champion_overlap=None)
    found = pictures_of(alone, POLICY)
    assert [chart.id for chart in found.charts] == ["roc", "calibration"]
    assert found.notes == ("There was no champion to compare it with.",)
    labels = Predictions(world.measurements().challenger_answers.labels)  # type: ignore[union-attr]
    found = pictures_of(world.measurements(champion_answers=labels), POLICY)
    assert found.notes == ("champion v1 predicts labels without scores, which have no curve.",)
    assert len({row[0] for row in found.charts[0].rows}) == 1
    none = pictures_of(
        world.measurements(golden=None, golden_problem="the file is gone", overlap=None, champion_overlap=None), POLICY
    )
    assert none.charts == () and none.notes == ("the file is gone",)


class Slow:
    """A replayer whose evidence arrives when it is allowed to, or not at all."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.may = threading.Event()
        self.error: Exception | None = None
        self.read = 0

    def measured(self, document: Mapping[str, Any], model_version: int) -> Any:
        self.read += 1
        if not self.may.wait(30):
            raise TimeoutError
        if self.error is not None:
            raise self.error
        return self.world.measurements(), POLICY


def test_a_page_does_not_wait_for_slow_evidence_and_shows_it_later(world: World) -> None:
    slow = Slow(world)
    pictures = VerdictPictures(cast(Replayer, slow), seconds=0.01)
    candidate = view(())
    for _ in range(2):
        assert pictures.of(candidate).unfinished
    assert slow.read == 1, "it is loaded once"
    assert pictures.of(view((), id="m:3")).unfinished
    assert "other verdicts" in pictures.of(view((), id="m:4")).notes[0], "not more than two at once"
    slow.may.set()
    patient = VerdictPictures(cast(Replayer, slow), seconds=30)
    patient._found = pictures._found
    assert len(patient.of(candidate).charts) == 2 and len(patient.of(candidate).charts) == 2
    assert slow.read == 2


def test_evidence_that_is_away_is_tried_again(world: World) -> None:
    slow = Slow(world)
    slow.may.set()
    slow.error = Transient("MLflow is away")
    pictures = VerdictPictures(cast(Replayer, slow), seconds=30)
    assert pictures.of(view(())).notes == ("Golden rows or predictions cannot be loaded now: MLflow is away.",)
    slow.error = KeyError("of tomorrow")
    assert "log of the gatekeeper" in pictures.of(view(())).notes[0]
    slow.error = None
    assert len(pictures.of(view(())).charts) == 2


def test_a_verdict_from_before_evidence_was_kept_has_none(world: World) -> None:
    found = VerdictPictures(world.replayer, seconds=30).of(view(()))
    assert found.charts == () and "judged before evidence was kept" in found.notes[0]
