"""Playing policies over histories whose right answers are known beforehand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contracts.gate_settings import Performance
from contracts.policy import ModelPolicy
from gatekeeper.backtest import __main__ as command
from gatekeeper.backtest import contenders
from gatekeeper.backtest.contenders import Contender
from gatekeeper.backtest.history import History, Unreadable, Window, read
from gatekeeper.backtest.replay import Played, oracle_newest_or_stay, oracle_of_all, play, regret
from gatekeeper.backtest.report import markdown, report
from gatekeeper.policy.statistics.estimates import Predictions

SUPERIOR = Performance(rule="superior")
ROWS = 40

# Mean absolute error of each version on each window, from its golden one (version - 1) on.
ERRORS = {
    1: [1.0, 1.0, 3.0, 1.0],
    2: [2.0, 1.0, 4.0],
    3: [2.0, 2.0],
}


def history(errors: dict[int, list[float]], rows: Sequence[int] = ()) -> History:
    """A regression whose truth is 0 everywhere and whose models err by the same amount in each row."""
    count = len(errors[1])
    sizes = list(rows) or [ROWS] * count
    return History(
        problem="regression",
        windows=tuple(Window(f"w{at}", np.zeros(size)) for at, size in enumerate(sizes)),
        answers={
            (version, version - 1 + step): Predictions(np.full(sizes[version - 1 + step], error))
            for version, found in errors.items()
            for step, error in enumerate(found)
        },
    )


def superior(name: str = "newest") -> Contender:
    return contenders.newest(name, "mae", SUPERIOR)


@pytest.mark.parametrize(
    ("contender", "champions", "value"),
    [
        (contenders.never(), (1, 1, 1), 5 / 3),
        (contenders.always(), (1, 2, 3), 4 / 3),
        (superior(), (1, 1, 3), 2.0),
        (contenders.newest("delta", "mae", Performance.model_validate({"rule": {"delta": 2.0}})), (1, 1, 1), 5 / 3),
        (contenders.retained("all", "mae", SUPERIOR), (1, 1, 2), 8 / 3),
    ],
    ids=lambda value: value.name if isinstance(value, Contender) else None,
)
def test_policies_serve_what_they_chose(contender: Contender, champions: tuple[int, ...], value: float) -> None:
    found = play(history(ERRORS), contender, "mae")
    assert found.champions == champions
    assert found.value == pytest.approx(value)
    assert found.promotions == len(set(champions)) - 1


@pytest.mark.parametrize(
    ("kept", "last"), [({}, 1), ({"most": 2}, 1), ({"most": 1}, 3), ({"oldest": 3}, 1), ({"oldest": 2}, 3)]
)
def test_only_so_many_and_so_old_versions_are_retained(kept: dict[str, int], last: int) -> None:
    """Version 2 replaces version 1, which is the best again two windows later, when version 3 is the second best."""
    errors = {1: [5.0, 3.0, 2.0, 1.0, 1.0], 2: [2.0, 1.0, 5.0, 1.0], 3: [9.0, 4.0, 1.0], 4: [9.0, 1.0]}
    late = play(history(errors), contenders.retained("kept", "mae", SUPERIOR, **kept), "mae")
    assert late.champions == (1, 2, 2, last)


def test_a_newest_version_that_passed_is_outdone_only_by_a_better_one() -> None:
    errors = {1: [1.0, 1.0, 5.0, 1.0], 2: [2.0, 3.0, 1.0], 3: [2.0, 1.0]}
    found = play(history(errors), contenders.retained("kept", "mae", SUPERIOR), "mae")
    assert found.champions == (1, 1, 3)


def test_the_oracle_takes_the_best_version_of_each_window() -> None:
    found = oracle_of_all(history(ERRORS), "mae")
    assert (found.champions, found.value, found.promotions) == ((1, 2, 1), 1.0, 2)


def test_the_oracle_that_may_only_take_the_newest_looks_ahead() -> None:
    """Staying with version 1 in window 2 costs most there, and nothing that follows makes up for it."""
    found = oracle_newest_or_stay(history(ERRORS), "mae")
    assert (found.champions, found.value) == ((1, 2, 3), pytest.approx(4 / 3))


def test_the_oracle_that_may_only_take_the_newest_gives_up_a_window_for_the_later_ones() -> None:
    found = oracle_newest_or_stay(history({1: [1, 1, 2, 1, 1], 2: [1, 1, 9, 9], 3: [9, 9, 9], 4: [9, 9]}), "mae")
    assert found.champions == (1, 1, 1, 1)


def test_a_window_weighs_as_much_as_it_has_rows() -> None:
    found = play(history(ERRORS, rows=(40, 30, 60, 90)), contenders.never(), "mae")
    assert found.value == pytest.approx((1 * 30 + 3 * 60 + 1 * 90) / 180)


def test_regret_is_positive_whichever_way_the_metric_goes() -> None:
    best, worse = Played("best", (1,), (0.9,), 0.9), Played("worse", (1,), (0.8,), 0.8)
    assert regret(worse, best, "roc_auc") == pytest.approx(0.1)
    assert regret(best, worse, "log_loss") == pytest.approx(0.1)


def test_a_version_is_not_judged_on_windows_that_it_was_trained_on() -> None:
    """Version 1 does badly in window 1, which version 3 was trained on; in window 2 both are compared."""
    errors = {1: [1.0, 9.0, 1.0, 1.0], 2: [9.0, 9.0, 9.0], 3: [2.0, 2.0]}
    found = play(history(errors), contenders.retained("two windows", "mae", SUPERIOR, windows=2), "mae")
    assert found.champions == (1, 1, 1)


def test_two_windows_together_are_not_deceived_by_one() -> None:
    """In window 2 alone, version 2 is better; over windows 1 and 2 it is not."""
    errors = {1: [1.0, 1.0, 3.0, 1.0], 2: [6.0, 1.0, 4.0], 3: [9.0, 9.0]}
    once = play(history(errors), contenders.retained("once", "mae", SUPERIOR), "mae")
    twice = play(history(errors), contenders.retained("twice", "mae", SUPERIOR, windows=2), "mae")
    assert (once.champions, twice.champions) == ((1, 1, 2), (1, 1, 1))


def test_a_tournament_brings_the_version_of_last_winter_back() -> None:
    """Three windows a season; a version knows the season that it was born in."""
    season = [0, 0, 0, 1, 1, 1, 0, 0, 0]
    errors = {
        version: [1.0 if season[at] == season[version - 1] else 4.0 + version / 100 for at in range(version - 1, 9)]
        for version in range(1, 9)
    }
    newest = play(history(errors), superior(), "mae")
    everybody = play(history(errors), contenders.retained("all", "mae", SUPERIOR), "mae")
    assert everybody.champions == (1, 1, 1, 4, 4, 4, 7, 7)
    assert newest.champions == everybody.champions, "a new version of each season is there at once"
    late = dict(errors)
    late[7] = [9.0, 9.0, 9.0]  # this winter's own version is a failure
    late[8] = [9.0, 9.0]
    newest = play(history(late), superior(), "mae")
    everybody = play(history(late), contenders.retained("all", "mae", SUPERIOR), "mae")
    assert newest.champions == (1, 1, 1, 4, 4, 4, 4, 4)
    assert everybody.champions[-2:] == (3, 3)
    assert everybody.value < newest.value


def equal_models(windows: int, rows: int, seed: int) -> History:
    """Every version is as good as any other, and says something else."""
    random = np.random.default_rng(seed)
    truths = [(random.random(rows) < 0.4).astype(int) for _ in range(windows)]
    answers = {}
    for at, truth in enumerate(truths):
        common = random.normal(size=rows)
        for version in range(1, min(at + 1, windows - 1) + 1):
            scores = 1 / (1 + np.exp(-(truth + common + 0.5 * random.normal(size=rows))))
            answers[version, at] = Predictions((scores >= 0.5).astype(int), scores)
    return History("binary", tuple(Window(f"w{at}", truth) for at, truth in enumerate(truths)), answers)


@pytest.mark.parametrize("most", [None, 3])
def test_equal_models_are_promoted_in_no_more_than_alpha_of_the_decisions(most: int | None) -> None:
    contender = contenders.retained("superior", "log_loss", SUPERIOR, most=most)
    decisions = promotions = 0
    for seed in range(12):
        found = play(equal_models(windows=14, rows=400, seed=seed), contender, "log_loss")
        decisions += len(found.champions) - 1
        promotions += found.promotions
    assert promotions / decisions < 0.05 + 3 * np.sqrt(0.05 * 0.95 / decisions)


def write(folder: Path, errors: dict[int, list[float]], **columns: object) -> None:
    count = len(errors[1])
    (folder / "answers").mkdir(parents=True)
    rows = {
        "window": np.repeat(np.arange(count), ROWS),
        "truth": np.zeros(ROWS * count),
        "entity": ["a"] * ROWS * count,
    }
    rows["entity"] = [f"e{row}" for row in range(ROWS)] * count
    pd.DataFrame(rows | columns).to_parquet(folder / "rows.parquet")
    for version, found in errors.items():
        np.save(folder / "answers" / f"v{version}.npy", np.repeat(np.array(found), ROWS))
    described = {
        "format": 2,
        "model": "m",
        "problem": "regression",
        "classes": [],
        "folder": "answers",
        "windows": [{"name": f"w{at}", "rows": ROWS} for at in range(count)],
        "versions": [
            {"number": version, "trained_on": f"t{version}", "golden": version - 1, "answers": f"v{version}.npy"}
            for version in errors
        ],
    }
    (folder / "history.json").write_text(json.dumps(described))


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, ERRORS)
    found = read(tmp_path)
    assert play(found, contenders.always(), "mae") == play(history(ERRORS), contenders.always(), "mae")
    assert found.windows[2].clusters is not None
    assert found.windows[2].clusters.tolist() == list(range(ROWS))
    assert found.trained_on == {1: "t1", 2: "t2", 3: "t3"}


def test_rows_with_a_time_are_a_series_of_each_entity_over_all_windows(tmp_path: Path) -> None:
    """Two series, in another order than in the file; the naive error is that of the last value."""
    count = ROWS * len(ERRORS[1])
    at = np.random.default_rng(1).permutation(count)
    times = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(at // 2, unit="h")
    truth, entity = (at // 2).astype(float) * 3, np.where(at % 2, "a", "b")
    write(tmp_path, ERRORS, time=times, truth=truth, entity=entity)
    found = read(tmp_path)
    series = found.windows[1].series
    assert series is not None and series.at is not None and series.scale == 3.0
    first = np.flatnonzero(at < 2)
    everywhere = np.concatenate([window.series.before for window in found.windows if window.series])
    assert np.flatnonzero(np.isnan(everywhere)).tolist() == sorted(first)
    np.testing.assert_array_equal(np.delete(everywhere, first), np.delete(truth, first) - 3)
    mae, mase = (play(found, contenders.never(), metric).value for metric in ("mae", "mase"))
    assert mase == pytest.approx(mae / 3)
    chosen = play(found, contenders.retained("two windows", "mase", SUPERIOR, windows=2), "mase")
    reasons = [verdict.reason for verdict in found.verdicts.values()]
    assert chosen.champions and any(" points in time)" in reason for reason in reasons), reasons


def test_answers_that_do_not_fit_the_rows_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ERRORS)
    np.save(tmp_path / "answers" / "v2.npy", np.zeros(7))
    with pytest.raises(Unreadable, match="v2 has 7 answers to 120 rows"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("performance", "candidates", "champions"),
    [
        ({"rule": "superior"}, "newest", [1, 1, 3]),
        ({"rule": "superior"}, "retained", [1, 1, 2]),
        ({"rule": "superior"}, {"retained": 1}, [1, 1, 2]),
        ({"rule": {"minimum": {"mae": 1.5}}}, "newest", [1, 1, 1]),
        (False, "newest", [1, 2, 3]),
    ],
)
def test_the_report_plays_the_policy_at_hand(performance: object, candidates: object, champions: list[int]) -> None:
    policy = ModelPolicy.model_validate(
        {
            "model": "m",
            "problem": "regression",
            "metric": "mae",
            "candidates": candidates,
            "gates": {"performance": performance},
        }
    )
    found = report(history(ERRORS), policy, "mae")
    own = next(row for row in found["contenders"] if row["name"] == "this policy")
    assert own["champions"] == champions
    assert [row["name"] for row in found["windows"]] == ["w1", "w2", "w3"]
    assert len(list(markdown(found))) == 2 + len(found["contenders"])
    json.dumps(found)


def test_the_command_prints_a_table_or_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "m.yaml"
    policy.write_text("model: m\nproblem: regression\nmetric: mae\n")
    write(tmp_path / "history", ERRORS)
    assert command.main([str(tmp_path / "history"), str(policy)]) == 0
    assert "| always the newest | 2 | 1.3333 | 0.3333 |" in capsys.readouterr().out
    assert command.main([str(tmp_path / "nowhere"), str(policy)]) == 1
    assert "holds no history" in capsys.readouterr().err
