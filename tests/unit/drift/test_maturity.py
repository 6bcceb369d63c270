"""When labels are mature: a table of cases, and what truncation does to a measured delay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from drift.policy.maturity import BUCKETS, COVERED, QUANTILE, Delays, is_due, maturity, no_label, with_delays

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK, HOUR, MINUTE, NONE = timedelta(days=7), timedelta(hours=1), timedelta(minutes=1), timedelta(0)


def seen(count: int, delay: timedelta, span: timedelta) -> Delays:
    bucket = str(BUCKETS.of(delay.total_seconds()))
    return Delays(since=NOW - span, counts={bucket: count} if count else {})


@pytest.mark.parametrize(
    ("policy", "delays", "covered", "source", "after", "words"),
    [
        (NONE, None, None, "setting", WEEK, "DRIFT_LABEL_MATURITY, 7 d: no label has come"),
        (NONE, seen(0, HOUR, WEEK), None, "setting", WEEK, "no label has come"),
        (2 * HOUR, None, None, "policy", 2 * HOUR, "label_maturity of the policy: 2 h"),
        (2 * HOUR, seen(5000, MINUTE, WEEK), 1.0, "policy", 2 * HOUR, "label_maturity of the policy: 2 h"),
        (NONE, seen(199, MINUTE, 3 * HOUR), 1.0, "setting", WEEK, "fewer than 200 labels"),
        (NONE, seen(200, MINUTE, 3 * HOUR), 1.0, "measured", MINUTE, "measured: 99 % of 200 labels came within 64 s"),
        # Observed for less than twice the estimate: only short delays can have been seen.
        (NONE, seen(5000, HOUR, 2 * HOUR), 1.0, "setting", WEEK, "2 h of observation cannot have shown longer delays"),
        (NONE, seen(5000, HOUR, 3 * HOUR), 1.0, "measured", HOUR, "came within 68 min"),
        # Quick labels of some rows, while the others wait: they may be late ones.
        (NONE, seen(5000, MINUTE, 3 * HOUR), 0.95, "setting", WEEK, "5 % of the older rows have none"),
        (NONE, seen(5000, MINUTE, 3 * HOUR), COVERED, "measured", MINUTE, "measured"),
        (NONE, seen(5000, MINUTE, 3 * HOUR), None, "setting", WEEK, "no row is so old"),
        # Whoever set seven days knows that none comes later: from then on the labels that never come are no matter.
        (NONE, seen(5000, MINUTE, WEEK), 0.3, "measured", MINUTE, "measured"),
        # Delays that were seen are a lower limit, also of the setting.
        (NONE, seen(5000, 2 * WEEK, 3 * WEEK), 1.0, "setting", 2 * WEEK, "21 d of observation"),
        (NONE, seen(5000, 2 * WEEK, 5 * WEEK), 0.1, "measured", 2 * WEEK, "measured"),
    ],
)
def test_maturity_is_what_the_policy_says_else_what_was_measured_else_the_setting(
    policy, delays, covered, source, after, words
):
    found = maturity(policy, WEEK, delays, covered, NOW)
    assert found.source == source
    assert after <= found.after < after * 1.2
    assert words in found.reason


def test_a_histogram_has_the_quantiles_of_its_delays_within_a_bucket():
    delays = np.random.default_rng(1).lognormal(6, 2, 20_000)
    found = None
    for part in np.array_split(delays, 7):
        found = with_delays(found, part.tolist(), NOW)
    assert found.n == 20_000
    assert found.since == NOW - timedelta(seconds=float(delays.max()))
    assert Delays.model_validate_json(found.model_dump_json()) == found
    for share in (0.5, 0.9, QUANTILE):
        exact = np.quantile(delays, share)
        assert exact <= found.quantile(share).total_seconds() * 1.0001 <= exact * 2**0.25 * 1.01


@pytest.mark.parametrize("seconds", [-3600.0, 0.0, 1e12])
def test_a_label_before_its_prediction_and_one_after_centuries_are_counted(seconds):
    found = with_delays(None, [seconds], NOW)
    assert found.n == 1
    assert found.quantile(QUANTILE) >= timedelta(seconds=1)


def test_a_delay_that_is_measured_is_not_shorter_than_the_true_one_however_early():
    """Labels take 1 h for half of the rows, 30 h for the others; one row a minute; looked at after each hour."""
    made = np.arange(0, 100 * 60) * 60.0
    delay = np.where(np.arange(len(made)) % 2, 3600.0, 30 * 3600.0)
    for hour in range(1, 101):
        now = hour * 3600.0
        there = made + delay <= now
        if not there.any():
            continue
        at = NOW + timedelta(seconds=now)
        delays = with_delays(None, delay[there].tolist(), at).model_copy(update={"since": NOW})
        old = made <= now - delays.quantile(QUANTILE).total_seconds()
        covered = float(there[old].mean()) if old.any() else None
        found = maturity(NONE, WEEK, delays, covered, at)
        assert found.after >= timedelta(hours=30), hour
    assert found.source == "measured"


@pytest.mark.parametrize(
    ("labelled", "waited", "due"),
    [
        (1999, NONE, False),
        (2000, NONE, True),
        (1999, WEEK - MINUTE, False),
        (0, WEEK, True),
    ],
)
def test_performance_is_judged_when_every_row_is_mature_or_labelled(labelled, waited, due):
    assert is_due(2000, labelled, waited, WEEK) is due


def test_a_version_without_labels_says_so():
    assert no_label(WEEK) == "no label came within 7 d of the predictions: performance cannot be judged"
