"""Which windows are trained and judged on, who is held out, and what the end of a process means."""

from __future__ import annotations

import pytest

from contracts.policy import Golden
from trainer.policy import (
    TEMPORARY_FAILURE,
    Done,
    Failed,
    Plan,
    Refusal,
    Retry,
    ending,
    is_held_out,
    name_of,
    plan,
)

MONTHS = [f"2013-{month:02d}" for month in range(1, 13)]
PREVIOUS = Golden()
HOLDOUT = Golden(window="holdout", share=0.25)


def planned(
    windows: list[str] = MONTHS,
    golden: Golden = PREVIOUS,
    requested: str | None = None,
    drift_window: str | None = None,
    training_windows: int = 2,
) -> Plan | Refusal:
    return plan(
        windows, training_windows=training_windows, golden=golden, requested=requested, drift_window=drift_window
    )


@pytest.mark.parametrize(
    ("requested", "training", "golden"),
    [
        ("2013-01..2013-02", ("2013-01", "2013-02"), "2013-03"),
        ("2013-05", ("2013-05",), "2013-06"),
        ("2013-04..2013-04", ("2013-04",), "2013-05"),
        ("2013-01..2013-11", tuple(MONTHS[:11]), "2013-12"),
    ],
)
def test_a_request_names_its_training_windows_and_is_judged_on_the_next(
    requested: str, training: tuple[str, ...], golden: str
) -> None:
    assert planned(requested=requested) == Plan(training, golden)


@pytest.mark.parametrize(
    ("drift_window", "windows_before", "training", "golden"),
    [
        ("2013-06", 2, ("2013-04", "2013-05"), "2013-06"),
        ("2013-12", 3, ("2013-09", "2013-10", "2013-11"), "2013-12"),
        ("2013-02", 2, ("2013-01",), "2013-02"),  # fewer than two exist
    ],
)
def test_a_drift_is_judged_on_where_it_was_seen_and_trained_on_what_was_before(
    drift_window: str, windows_before: int, training: tuple[str, ...], golden: str
) -> None:
    assert planned(drift_window=drift_window, training_windows=windows_before) == Plan(training, golden)


def test_without_a_wish_the_newest_window_is_the_golden_one() -> None:
    assert planned() == Plan(("2013-10", "2013-11"), "2013-12")


@pytest.mark.parametrize(
    ("requested", "drift_window", "training"),
    [
        (None, None, ("month_000", "month_001")),
        ("month_001", None, ("month_001",)),
        ("month_000..month_001", None, ("month_000", "month_001")),
        (None, "month_000", ("month_000",)),
        (None, "month_001", ("month_000", "month_001")),
    ],
)
def test_a_holdout_needs_no_later_window(
    requested: str | None, drift_window: str | None, training: tuple[str, ...]
) -> None:
    found = planned(["month_000", "month_001"], HOLDOUT, requested, drift_window)
    assert found == Plan(training, None, 0.25)
    assert isinstance(found, Plan)
    assert found.golden_name == f"holdout 0.25 of {name_of(training)}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"drift_window": "2013-01"}, "no earlier rows"),
        ({"windows": ["only"]}, "no earlier rows"),
        ({"windows": []}, "has no windows"),
        ({"requested": "2013-12"}, "no golden window comes after"),
        ({"requested": "2013-11..2013-12"}, "golden: {window: holdout}"),
        ({"requested": "2013-13"}, "nearest: 2013-1"),
        ({"requested": "2013-01..2013-22"}, "unknown window '2013-22'"),
        ({"requested": "january"}, "there are 12: 2013-01..2013-12"),
        ({"requested": ".."}, "unknown window ''"),
        ({"requested": ""}, "unknown window ''"),
        ({"requested": "2013-05..2013-03"}, "did you mean 2013-03..2013-05?"),
        ({"drift_window": "2014-01"}, "unknown window '2014-01'"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(arguments: dict[str, object], said: str) -> None:
    refusal = planned(**arguments)  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal)
    assert said in refusal.reason


def test_an_entity_is_held_out_or_not_for_ever() -> None:
    held = [entity for entity in (f"user {number}" for number in range(4000)) if is_held_out(entity, 0.25)]
    assert 900 < len(held) < 1100
    # Written down once: a change would put entities that old versions were trained on among the golden rows.
    assert held[:6] == ["user 0", "user 1", "user 2", "user 5", "user 7", "user 20"]
    assert all(is_held_out(entity, 0.5) for entity in held), "a larger share only adds entities"
    assert not is_held_out("anyone", 0.0)


@pytest.mark.parametrize(
    ("status", "reported", "last_line", "expected"),
    [
        (0, None, None, Done()),
        (TEMPORARY_FAILURE, "MLflow is away", "noise", Retry("MLflow is away")),
        (TEMPORARY_FAILURE, None, "last words", Retry("last words")),
        (1, "ValueError: no", "noise", Failed("ValueError: no")),
        (1, None, "ImportError: x", Failed("ImportError: x")),
        (3, None, None, Failed("the training process exited with status 3 and said nothing")),
        (0, "ValueError: no", None, Failed("ValueError: no")),
        (-9, None, None, Failed("the training process was ended by signal 9 (SIGKILL: out of memory, most often)")),
        (-11, None, "noise", Failed("the training process was ended by signal 11")),
    ],
)
def test_the_end_of_a_process_is_a_result_a_wait_or_a_failure(
    status: int, reported: str | None, last_line: str | None, expected: Done | Retry | Failed
) -> None:
    assert ending(status, reported, last_line) == expected
