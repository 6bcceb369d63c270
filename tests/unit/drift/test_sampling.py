"""What is taken while the service is too far behind: fewer requests, whole ones, and all when it has caught up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contracts import PredictionMade
from contracts.cloudevents import Record
from drift.ingestion.backpressure import Backpressure, is_taken
from drift.ingestion.predictions import Skipped, gather
from drift.policy.sampling import LEAST_SHARE, Pressure, next_pressure

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("lags", "sample", "share", "alert"),
    [
        ([0] * 10, True, 1.0, False),
        ([61] * 6, True, 1.0, False),
        ([61] * 7, True, 0.5, True),
        ([61] * 7, False, 1.0, True),
        ([61] * 13, True, 0.25, True),
        ([61, 61, 61, 0, 61, 61, 61, 61], True, 1.0, False),
        ([61] * 100, True, LEAST_SHARE, True),
        ([61] * 13 + [59] * 6, True, 0.25, False),
        ([61] * 13 + [59] * 7, True, 0.5, False),
        ([61] * 13 + [0] * 13, True, 1.0, False),
    ],
)
def test_the_share_halves_while_it_is_behind_and_grows_again_when_it_is_not(
    lags: list[float], sample: bool, share: float, alert: bool
) -> None:
    now = Pressure(since=0.0)
    for number, lag in enumerate(lags):
        now = next_pressure(now, lag, MINUTE, 10.0 * number, sample=sample)
    assert (now.share, now.alert) == (share, alert)


def message(request: str, value: bytes = b"{}") -> Record:
    return Record("predictions", b"shop", value, (("ce_correlationid", request.encode()),), 0)


def test_a_share_of_the_requests_is_taken_and_a_smaller_share_is_a_part_of_it() -> None:
    requests = [f"request-{number}" for number in range(4000)]
    half = {request for request in requests if is_taken(message(request), 0.5)}
    quarter = {request for request in requests if is_taken(message(request), 0.25)}
    assert quarter < half
    assert len(half) == pytest.approx(2000, abs=150)
    assert all(is_taken(message(request, b'{"rollout_id":"r"}'), 0.0) for request in requests[:10])
    assert not any(is_taken(message(request, b'{"rollout_id":null}'), 0.0) for request in requests[:10])


def test_what_is_skipped_is_counted() -> None:
    pressure = Backpressure(tuple, MINUTE, sample=True)
    for number in range(100):
        pressure.look(PredictionMade.topic, 100.0, 10.0 * number)
        pressure.look("ground-truth", 100.0, 10.0 * number)
    assert pressure.share == LEAST_SHARE
    read = [pressure.read(message(f"request-{number}"), 1000) for number in range(3) if number != 1]
    skipped = [item for item in read if isinstance(item, Skipped)]
    [batch] = gather(skipped)
    assert (batch.model_name, batch.skipped, batch.is_empty) == ("shop", len(skipped), True)
