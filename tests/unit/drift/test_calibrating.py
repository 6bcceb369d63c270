"""Which past windows the limits of a version are calibrated on, and when they change: on a real database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chassis.database import Database
from contracts import Harm, Outcome
from contracts.drift_settings import Budget, Drift
from drift.database import store
from drift.database.tables import SCORED, WindowRow
from drift.detection import calibrating
from drift.scoring.scores import Reference, compare

SIZE, RULES = 300, Drift()
START = datetime(2026, 3, 1, tzinfo=UTC)


def rows(seed: int, count: int = SIZE) -> pd.DataFrame:
    return pd.DataFrame({"age": np.random.default_rng(seed).normal(40, 10, count)})


REFERENCE = Reference.of(rows(0, 2000))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path}/drift.sqlite")
    found.migrate("drift")
    return found


def judge(database: Database, count: int, version: int = 1, rules: Drift = RULES, **verdict: object) -> dict:
    """Judge so many windows one after another as the job does; return on what the last one's limits are calibrated."""
    for _ in range(count):
        with database.transaction() as session:
            of_version = store.version_of(session, "shop", version)
            window = store.new_window(session, of_version, SIZE, START)
            window.rows, window.state, window.data_outcome = SIZE, SCORED, Outcome.PASSED
            window.start, window.end = START, START + timedelta(hours=1)
            known = calibrating.known_of(session, window, of_version, rules)
            found = calibrating.limits_of(window, REFERENCE, known, rules)
            calibrating.remember(session, window, compare(REFERENCE, rows_of(window)).summaries)
            calibrating.keep(session, window, found, START)
            for name, value in verdict.items():
                setattr(window, name, value)
    return found.basis()


def rows_of(window: WindowRow) -> pd.DataFrame:
    return rows(1000 + window.key)


def test_limits_change_at_5_10_and_19_past_windows_and_are_kept_between_them(database):
    counts = [judge(database, 1) for _ in range(22)]
    assert [found["windows"] for found in counts] == [0] * 5 + [5] * 5 + [10] * 9 + [19] * 3
    assert [found["assumption"] for found in counts] == ["iid"] * 19 + ["windows"] * 3


def test_a_new_version_is_calibrated_on_the_windows_of_the_former(database):
    judge(database, 19)
    assert judge(database, 1, version=2)["windows"] == 19


@pytest.mark.parametrize(
    ("confirmed", "windows"),
    [
        ({"performance_outcome": Outcome.FAILED}, 5),
        ({"harm": {"harm": Harm.HARMFUL}, "data_event_id": "e"}, 5),
        ({"harm": {"harm": Harm.HARMFUL}}, 24),
        ({"harm": {"harm": Harm.BENIGN}, "data_event_id": "e"}, 25),
        ({"data_outcome": Outcome.FAILED}, 25),
    ],
    ids=["performance", "harmful and announced", "harmful", "benign", "by the data alone"],
)
def test_past_windows_before_a_confirmed_drift_are_left_out(database, confirmed, windows):
    judge(database, 19)
    judge(database, 1, **confirmed)
    judge(database, 5)
    assert judge(database, 1, version=2)["windows"] == windows


def test_another_budget_is_calibrated_again(database):
    judge(database, 1)
    other = Drift(budget=Budget(false_alarms=1, per_windows=100))
    assert judge(database, 1, rules=other)["share"] == 0.01
