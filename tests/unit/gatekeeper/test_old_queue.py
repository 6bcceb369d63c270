"""A queue that an older version has left: its tournaments, which were gate jobs, run as what they are."""

from __future__ import annotations

from datetime import timedelta

import alembic.command
import pytest

from chassis.database import Database
from chassis.jobs import Jobs
from gatekeeper.database.job_kinds import GATE, TOURNAMENT
from gatekeeper.tournaments.job import DRIFTED

KINDS = [GATE, TOURNAMENT]


def test_tournaments_of_an_older_version_run_in_their_turn(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(database_url)
    upgrade = alembic.command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(
            "alembic.command.upgrade",
            lambda config, target: upgrade(config, "0005" if "gatekeeper" in str(config.attributes) else target),
        )
        database.migrate("gatekeeper")
    jobs = Jobs(database, owner="one", lease=timedelta(seconds=-1))
    with database.transaction() as session:
        for number, payload in enumerate(({"candidate_id": "c1"}, {DRIFTED: 3}, {"candidate_id": "c2"}, {DRIFTED: 4})):
            jobs.enqueue(session, kind=GATE, key="m", payload=payload, job_id=str(number))
    running = jobs.claim([GATE])
    assert running is not None and running.id == "0", "the worker dies in the midst of it"
    database.migrate("gatekeeper")
    found = []
    while (job := jobs.claim(KINDS, one_queue=True)) is not None:
        found.append((job.id, job.kind))
        with database.transaction() as session:
            jobs.end(session, job)
    assert found == [("0", GATE), ("1", TOURNAMENT), ("2", GATE), ("3", TOURNAMENT)]
    database.close()
