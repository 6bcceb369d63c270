"""Metrics of models, on which alerts are set: champions, freezes, approvals that expire, benchmarks that are lost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from prometheus_client import Gauge

from chassis.background import Periodic
from chassis.database import Database
from contracts import Stage
from gatekeeper import telemetry
from gatekeeper.database import benchmarks, queries, rollouts

PAUSE = timedelta(seconds=5)


class ModelGauges(Periodic):
    """A Part. Read from the database, so that they outlive a restart and are the same on every replica."""

    name = "model gauges"
    waits, failed = "the metrics of models wait", "the metrics of models are not known"

    def __init__(self, database: Database) -> None:
        super().__init__(PAUSE)
        self._database = database
        self._shown: dict[Gauge, set[tuple[str, ...]]] = {}

    def once(self) -> None:
        with self._database.reading() as session:
            champions = queries.champions(session)
            frozen = queries.frozen_since(session)
            running = rollouts.running_stages(session)
            benchmarked = benchmarks.newest_verdicts(session)
        for name, epoch, version, _, _ in champions:
            telemetry.CHAMPION_EPOCH.labels(name).set(epoch)
            telemetry.CHAMPION_VERSION.labels(name).set(version)
        since = {(name, cause): at.timestamp() for name, _, _, cause, at in champions}
        self._show(telemetry.CHAMPION_SINCE, since)
        self._show(telemetry.FROZEN_SINCE, {(name,): at.timestamp() for name, at in frozen.items()})
        expiring = {(each.model_name,): each.expires_at.timestamp() for each in running if each.stage == Stage.APPROVAL}
        self._show(telemetry.APPROVAL_EXPIRES, expiring)
        for stage in Stage:
            if stage is not Stage.ENDED:
                telemetry.ROLLOUTS_RUNNING.labels(stage.value).set(sum(each.stage == stage for each in running))
        for name, beats in benchmarked.items():
            telemetry.BEATS_BASELINE.labels(name).set(float(beats))

    def _show(self, gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
        """Export these and no others: what is over must not keep an alert."""
        for labels in self._shown.get(gauge, set()) - set(values):
            gauge.remove(*labels)
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        self._shown[gauge] = set(values)
