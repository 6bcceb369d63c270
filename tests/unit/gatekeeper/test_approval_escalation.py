"""An approval that is about to expire is told to whoever is to hear of it, once, with a real rollout that waits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select, update

from gatekeeper.database import notifications as stored
from gatekeeper.database.notification_tables import NotificationMessageRow, NotificationRow
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.notifications.planner import Planner
from support.rollout_bench import RolloutBench

FILE = {
    "targets": {name: {"apprise": {"env": "URL"}} for name in ("team", "lead")},
    "subscriptions": [
        {"name": "team", "target": "team", "severity": "critical", "escalate": {"before": "2h", "target": "lead"}}
    ],
}


@pytest.fixture
def planner(bench: RolloutBench, tmp_path: Path) -> Planner:
    path = tmp_path / "notifications.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return Planner(bench.database, NotificationsFile(path))


def later(bench: RolloutBench, **time: float) -> None:
    with bench.database.transaction() as session:
        row = session.scalars(select(RolloutRow).where(RolloutRow.stage == "approval")).one()
        moved = row.step_began_at - timedelta(**time)
        session.execute(update(RolloutRow).where(RolloutRow.id == row.id).values(step_began_at=moved))


def test_an_approval_that_expires_soon_is_told_once(bench: RolloutBench, planner: Planner) -> None:
    bench.begun(approval={"people": 2, "expires": "10h"})
    assert planner.once() == 0
    later(bench, hours=7)
    assert planner.once() == 0
    later(bench, hours=1.5)
    assert planner.once() == 1
    assert planner.once() == 0
    with bench.database.reading() as session:
        (message,) = session.scalars(select(NotificationMessageRow))
        (row,) = session.scalars(select(NotificationRow))
        (item,) = stored.items_of(session, message.id)
    assert (message.target, message.subscription, message.critical) == ("lead", "team", True)
    assert (row.type, row.model_name, row.model_version) == ("ApprovalExpiring", bench.name, 2)
    assert item.title == f"{bench.name} v2: the approval expires in 90 min"
    assert dict(item.figures) == {"people needed": "2", "expires in": "90 min"}


def test_an_approval_that_was_given_is_not_told(bench: RolloutBench, planner: Planner) -> None:
    bench.begun(approval={"people": 1, "expires": "10h"})
    later(bench, hours=9)
    bench.approvals.approve(bench.name, actor="ada", reason="fine")
    assert planner.once() == 0
