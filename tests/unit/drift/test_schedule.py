"""When a benchmark is due: once a period, and not before there are enough labelled rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drift.policy.schedule import Due, NotDue, Schedule, decide, pause, period_end, too_few

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def at(days: float) -> datetime:
    return BEGAN + timedelta(days=days)


def of(**changes: object) -> Schedule:
    return Schedule(**{"champion": 3, "began_at": BEGAN, "labelled": 5000, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "days", "found"),
    [
        (of(champion=None), 100, "no promotion is known"),
        (of(began_at=None), 100, "no promotion is known"),
        (of(), 6.9, "the period has not ended"),
        (of(), 7, Due(at(7))),
        (of(), 7.1, Due(at(7))),
        (of(), 30, Due(at(28))),  # the service was down: one benchmark, of the newest period
        (of(period=at(28)), 30, "the period has not ended"),
        (of(period=at(28)), 35, Due(at(35))),
        (of(period=at(28)), 27, "the period has not ended"),  # a clock that was set back
        (of(running=True), 7, "the benchmark of this period runs"),
        (of(labelled=199), 7, "at least 200 are needed, there are 199"),
        (of(labelled=200), 9, Due(at(7))),
        (of(look_after=at(8)), 7.5, "tried in vain; again after 2026-03-09 00:00:00 UTC"),
        (of(look_after=at(8), labelled=3), 7.5, "at least 200 are needed, there are 3"),
        (of(look_after=at(8)), 8, Due(at(7))),
        (of(period=at(7), labelled=0), 13, "the period has not ended"),  # and not that there are too few rows
    ],
)
def test_once_a_period_with_enough_rows(schedule: Schedule, days: float, found: Due | str) -> None:
    decision = decide(schedule, WEEK, at(days))
    if isinstance(found, Due):
        assert decision == found
    else:
        assert isinstance(decision, NotDue) and found in decision.reason


def test_the_end_of_the_period_is_known_before_it() -> None:
    decision = decide(of(period=at(7)), WEEK, at(9))
    assert isinstance(decision, NotDue) and decision.until == at(14)


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=3), timedelta(days=7), timedelta(days=20)])
def test_however_often_one_looks_no_period_has_two_benchmarks(step: timedelta) -> None:
    schedule, now, periods = of(), BEGAN, []
    while now < at(100):
        if isinstance(found := decide(schedule, WEEK, now), Due):
            periods.append(found.period)
            schedule = of(period=found.period)
        now += step
    assert len(set(periods)) == len(periods) and periods == sorted(periods)
    assert all((period - BEGAN) % WEEK == timedelta(0) for period in periods)
    assert len(periods) == (14 if step <= WEEK else 4)


def test_another_interval_counts_from_the_last_period() -> None:
    assert period_end(at(7), timedelta(days=1), at(9.5)) == at(9)


@pytest.mark.parametrize(
    ("every", "found"),
    [
        (timedelta(seconds=1), timedelta(seconds=1)),
        (WEEK, timedelta(hours=1)),
        (timedelta(hours=10), timedelta(minutes=6)),
    ],
)
def test_too_few_rows_are_counted_again_after_a_hundredth_of_the_interval(every: timedelta, found: timedelta) -> None:
    assert pause(every) == found


def test_what_is_missing_is_said_with_the_age_that_counts() -> None:
    assert too_few(137).endswith("at least 200 are needed, there are 137")
    assert too_few(137, timedelta(days=2)).endswith(
        "at least 200 of predictions that are 2 d old are needed, there are 137"
    )
