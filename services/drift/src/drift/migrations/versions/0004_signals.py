"""Calibrated limits, predictions, proxy, harm, and the interval of a window's performance."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json

revision = "drift_0004"
down_revision = "drift_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("golden_predictions", "importance"):
        op.add_column("drift_versions", sa.Column(name, Json, nullable=True))
    for name in ("limits", "prediction", "proxy", "harm"):
        op.add_column("drift_windows", sa.Column(name, Json, nullable=True))
    for name in ("low", "high"):
        op.add_column("drift_windows", sa.Column(name, sa.Float, nullable=True))
