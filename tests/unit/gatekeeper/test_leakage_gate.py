"""Golden rows that either model was trained on: which count, what is left, and what the gate says."""

from __future__ import annotations

import numpy as np
import pytest

from contracts import Outcome
from contracts.gate_settings import Leakage
from contracts.policy import Golden
from gatekeeper.policy.gates import leakage
from gatekeeper.policy.gates.leakage import Facts, Overlap, Side, ways
from gatekeeper.policy.statistics.estimates import Predictions

N = 2000
RANDOM = np.random.default_rng(5)
TRUTH = (RANDOM.random(N) < 0.4).astype(np.int64)
HONEST = np.clip(0.5 + 0.2 * (TRUTH - 0.5) + RANDOM.normal(0, 0.2, N), 0, 1)
NOTHING = np.zeros(N, dtype=bool)


def first(share: float) -> np.ndarray:
    return np.arange(N) < share * N


def answers(scores: np.ndarray) -> Predictions:
    return Predictions((scores >= 0.5).astype(np.int64), scores)


def remembering(rows: np.ndarray) -> Predictions:
    """A model that knows the labels of the rows that it was trained on."""
    return answers(np.where(rows, TRUTH * 0.98 + 0.01, HONEST))


def overlap(rows: np.ndarray, **others: np.ndarray) -> Overlap:
    return Overlap(rows=5000, masks={"exact": rows, "rounded": rows, **others}, shared={"exact": 0.0, "rounded": 0.0})


def sides(champion: Overlap | None, counted=("exact", "rounded"), candidate: Overlap | None = None) -> Facts:
    known = champion.masks["exact"] if champion is not None and champion.masks else NOTHING
    return Facts(
        "roc_auc",
        truth=TRUTH,
        sides=(
            Side("the candidate", candidate or overlap(NOTHING), counted, answers(HONEST)),
            Side("champion v1", champion, counted if champion and not champion.unknown else (), remembering(known)),
        ),
    )


def test_rows_that_the_champion_was_trained_on_are_taken_out_and_both_comparisons_shown() -> None:
    verdict = leakage.decide(sides(overlap(first(0.74))), Leakage())
    assert verdict.outcome is Outcome.PASSED
    assert (verdict.observed, verdict.details["clean"]) == (0.74, 520)
    naive, clean = verdict.details["all_rows"], verdict.details["clean_rows"]
    assert naive["champion v1"] > naive["the candidate"] + 0.1, "the trap"
    assert clean["champion v1"] == clean["the candidate"], "without the rows that it remembers it is no better"
    assert "1480 of 2000 golden rows are taken out: champion v1 was trained on 1480 of them (74.0%" in verdict.reason


@pytest.mark.parametrize(
    ("facts", "settings", "outcome", "says"),
    [
        (sides(overlap(NOTHING)), {}, "Passed", "none of 2000 golden rows was trained on"),
        (sides(overlap(first(0.95))), {}, "Inconclusive", "only 100 clean rows are left, 200 are asked"),
        (sides(overlap(first(0.95))), {"minimum_rows": 100}, "Passed", "100 clean ones"),
        (sides(overlap(first(1.0))), {}, "Inconclusive", "only 0 clean rows"),
        (sides(Overlap(unknown="no keys")), {}, "Inconclusive", "champion v1: no keys"),
        (sides(None), {}, "Inconclusive", "champion v1: it is not known what it was trained on"),
        (sides(Overlap(unknown="no keys")), {"unknown": "pass"}, "Passed", "let pass by the policy: champion v1"),
        (sides(overlap(NOTHING), candidate=overlap(first(0.5))), {}, "Passed", "the candidate was trained on 1000"),
    ],
)
def test_the_table(facts: Facts, settings: dict, outcome: str, says: str) -> None:
    verdict = leakage.decide(facts, Leakage.model_validate(settings))
    assert verdict.outcome.value == outcome
    assert says in verdict.reason


SAME = overlap(NOTHING, entity=first(0.5), time=NOTHING)


@pytest.mark.parametrize(
    ("found", "settings", "golden", "counted"),
    [
        (None, {}, {}, ()),
        (Overlap(unknown="?"), {}, {}, ()),
        (overlap(NOTHING), {}, {}, ("exact", "rounded")),
        # The same aircraft fly again next month: that is no leak when all golden rows are later.
        (Overlap(masks=SAME.masks, later=True), {}, {}, ("exact", "rounded", "time")),
        (Overlap(masks=SAME.masks, later=True), {"entity": "always"}, {}, ("exact", "rounded", "entity", "time")),
        (Overlap(masks=SAME.masks, later=False), {}, {}, ("exact", "rounded", "entity", "time")),
        (Overlap(masks=SAME.masks, later=False), {"entity": "never"}, {}, ("exact", "rounded", "time")),
        # The same subscribers are in every snapshot: held-out ones must not have been trained on.
        (Overlap(masks=SAME.masks, later=True), {}, {"window": "holdout"}, ("exact", "rounded", "entity")),
        # A golden dataset of one's own: later than the training rows or not, that is the question.
        (Overlap(masks=SAME.masks, later=True), {}, {"dataset": "latest"}, ("exact", "rounded")),
        (Overlap(masks=SAME.masks, later=True), {}, {"dataset": "latest", "window": "holdout"}, ("exact", "rounded")),
        (Overlap(masks=SAME.masks, later=False), {}, {"dataset": "latest"}, ("exact", "rounded", "entity")),
        # Three flags make few different rows: equal ones are no sign.
        (Overlap(masks=SAME.masks, shared={"rounded": 0.4}, later=True), {}, {}, ("exact", "time")),
    ],
)
def test_which_ways_to_tell_count(found, settings: dict, golden: dict, counted: tuple[str, ...]) -> None:
    assert ways(found, Leakage.model_validate(settings), Golden.model_validate(golden)) == counted
