"""What earlier windows of a version say: distances, errors of estimates with labels, and what was announced when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from chassis.database import Database
from contracts import DriftKind, Outcome
from drift.database import estimates, store
from drift.database.tables import WindowRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = Database(f"sqlite:///{tmp_path / 'drift.db'}")
    database.migrate("drift")
    with database.transaction() as session:
        yield session
    database.close()


def window(session: Session, *, size: int = 400, version: int = 1, **known: Any) -> WindowRow:
    """The next window of a version, as it was judged."""
    row = store.new_window(session, store.version_of(session, "shop", version), size, NOON)
    for name, value in known.items():
        setattr(row, name, value)
    session.flush()
    return row


def proxy(raw: float, metric: str = "roc_auc") -> dict[str, Any]:
    return {"metric": metric, "raw": raw, "estimated": raw + 0.5}


def test_distances_are_those_of_earlier_windows_of_the_same_size_oldest_first(session: Session) -> None:
    for size, distance in ((400, 0.1), (200, 9.0), (400, None), (400, 0.3)):
        window(session, size=size, prediction={"distance": distance})
    window(session, prediction=None)
    window(session, version=2, prediction={"distance": 7.0})
    newest = window(session, prediction={"distance": 5.0})
    assert estimates.distances(session, newest) == [0.1, 0.3]


def test_errors_are_of_windows_with_labels_and_of_the_estimate_before_it_was_corrected(session: Session) -> None:
    judged = {"metric": "roc_auc", "performance_outcome": Outcome.PASSED}
    window(session, proxy=proxy(0.7), observed=0.6, **judged)
    window(session, proxy=proxy(0.7), observed=None, **judged)
    window(session, proxy=None, observed=0.6, **judged)
    window(session, proxy=proxy(0.7), observed=0.1, metric="roc_auc", performance_outcome=Outcome.INCONCLUSIVE)
    window(session, proxy=proxy(0.7, "accuracy"), observed=0.1, **judged)
    window(session, proxy=proxy(0.7), observed=0.75, **{**judged, "performance_outcome": Outcome.FAILED})
    newest = window(session)
    assert estimates.errors(session, newest, "roc_auc") == pytest.approx([-0.1, 0.05])


def test_later_windows_are_compared_with_the_first_ones(session: Session) -> None:
    kept = [{"numbers": [float(number)]} for number in range(5)]
    rows = [window(session, prediction={"kept": each}) for each in kept]
    assert estimates.first_predictions(session, rows[2]) == [], "it is one of them"
    assert estimates.first_predictions(session, rows[4]) == kept[: estimates.FIRST]


def test_an_announcement_counts_within_the_cooldown_and_since_the_promotion(session: Session) -> None:
    said = {"announced_at": NOON.isoformat()}
    window(session, prediction=said, proxy={"announced_at": None}, scored_at=NOON)
    version = store.version_of(session, "shop", 1)

    def last(kind: DriftKind, now: datetime) -> datetime | None:
        return estimates.last_announced(session, version, kind, HOUR, now)

    assert last(DriftKind.PREDICTION, NOON + HOUR / 2) == NOON
    assert last(DriftKind.PROXY, NOON + HOUR / 2) is None, "each kind has its own"
    assert last(DriftKind.PREDICTION, NOON + 2 * HOUR) is None
    version.promoted_at = NOON + HOUR / 4
    assert last(DriftKind.PREDICTION, NOON + HOUR / 2) is None, "a promotion ends it"
