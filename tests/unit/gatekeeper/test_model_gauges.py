"""Metrics of models: read from the database as it is, and gone when what they show is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import update

from chassis.database import Database
from contracts import Stage
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.database.rollouts import plan_to_json
from gatekeeper.database.tables import ModelRow, PromotionRow
from gatekeeper.model_gauges import ModelGauges
from gatekeeper.policy.rollout import Step

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path / 'test.db'}")
    found.migrate("gatekeeper")
    yield found
    found.close()


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def promotion(epoch: int, cause: str) -> PromotionRow:
    return PromotionRow(
        model_name="shop",
        epoch=epoch,
        model_version=10 + epoch,
        cause=cause,
        actor="ann",
        promoted_at=NOON + timedelta(hours=epoch),
        restored=False,
        event_id=str(epoch),
        event={},
    )


def rollout() -> RolloutRow:
    plan = plan_to_json([Step(Stage.STAGING), Step(Stage.APPROVAL, duration=timedelta(days=3), people=1)])
    some: dict[str, Any] = {
        "candidate_id": "shop-13",
        "model_version": 13,
        "champion_epoch": 2,
        "policy_digest": "",
        "salt": "",
        "label_maturity_seconds": 0.0,
        "verdict_digest": "",
        "actor": "",
        "reason": "",
    }
    return RolloutRow(
        id="r",
        model_name="shop",
        challenge={},
        plan=plan,
        step=1,
        stage=Stage.APPROVAL.value,
        revision=1,
        tried={},
        began_at=NOON,
        step_began_at=NOON,
        figures=[],
        history=[],
        **some,
    )


def test_the_newest_promotion_a_freeze_and_an_approval_are_shown_until_they_are_over(database: Database) -> None:
    gauges = ModelGauges(database)
    with database.transaction() as session:
        session.add_all([ModelRow(name="shop", frozen_at=NOON), ModelRow(name="never-promoted")])
        session.add_all([promotion(1, "gate"), promotion(2, "rollback"), rollout()])
    gauges.once()
    assert sample("gauntlet_champion_epoch", model="shop") == 2
    assert sample("gauntlet_champion_version", model="shop") == 12
    assert sample("gauntlet_champion_epoch", model="never-promoted") is None
    since = "gauntlet_champion_since_timestamp_seconds"
    assert sample(since, model="shop", cause="rollback") == (NOON + timedelta(hours=2)).timestamp()
    assert sample(since, model="shop", cause="gate") is None
    assert sample("gauntlet_model_frozen_timestamp_seconds", model="shop") == NOON.timestamp()
    expires = "gauntlet_approval_expires_timestamp_seconds"
    assert sample(expires, model="shop") == (NOON + timedelta(days=3)).timestamp()
    assert sample("gauntlet_rollouts_running", stage="approval") == 1
    assert sample("gauntlet_rollouts_running", stage="canary") == 0

    with database.transaction() as session:
        session.add(promotion(3, "approval"))
        session.execute(update(ModelRow).values(frozen_at=None))
        session.execute(update(RolloutRow).values(ended_at=NOON))
    gauges.once()
    assert sample("gauntlet_champion_epoch", model="shop") == 3
    assert sample(since, model="shop", cause="rollback") is None
    assert sample("gauntlet_model_frozen_timestamp_seconds", model="shop") is None
    assert sample(expires, model="shop") is None
    assert sample("gauntlet_rollouts_running", stage="approval") == 0
