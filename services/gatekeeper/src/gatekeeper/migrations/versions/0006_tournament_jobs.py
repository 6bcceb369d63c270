"""Tournament jobs get their own kind; an older version queued them as gate jobs with another payload."""

import sqlalchemy as sa
from alembic import op

from chassis.columns import Json

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JOBS = sa.table("jobs", sa.column("sequence", sa.Integer), sa.column("kind", sa.String), sa.column("payload", Json))


def upgrade() -> None:
    connection = op.get_bind()
    gates = connection.execute(sa.select(JOBS.c.sequence, JOBS.c.payload).where(JOBS.c.kind == "gate"))
    for sequence, payload in gates.all():
        if "drifted_version" in payload:
            connection.execute(sa.update(JOBS).where(JOBS.c.sequence == sequence).values(kind="tournament"))
