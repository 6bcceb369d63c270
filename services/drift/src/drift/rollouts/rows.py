"""A row of a rollout: what both versions predicted for it, small enough to wait for its label."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from contracts import Output, PredictionMade, Scalar
from drift.database.columns import Made
from drift.database.records import dumps, hash_of, label_key, loads
from drift.policy.losses import Answer
from drift.rollouts.tables import CHAMPION, TRIED, WaitingRow

Record = dict[str, Any]


class Predicted(NamedTuple):
    """The prediction of one version; stored as a JSON list in this order."""

    version: int
    score: float | None
    label: Scalar
    failed: bool
    latency_ms: float | None

    @property
    def answer(self) -> Answer:
        return Answer(self.score, self.label)


@dataclass(slots=True)
class TrialRow:
    """`key` and `unit` are hashes; `unit` None: the row is a unit by itself. `label` is JSON."""

    key: int
    unit: int | None
    made_at: datetime
    event_time: datetime | None
    champion: Predicted
    tried: Predicted | None
    label: str | None = None

    def of_arms(self, *, split: bool) -> tuple[Predicted | None, Predicted | None]:
        """Return what counts for the champion and for the tried version.

        In a split only one version is assigned a row; what the champion did where the other one failed is not its arm.
        """
        if split and self.tried is not None:
            return None, self.tried
        return self.champion, self.tried

    def arm(self, *, split: bool) -> int:
        """Return of which arms the row can give a value; 0: it gives none, because a version failed."""
        champion, tried = self.of_arms(split=split)
        if any(each is not None and each.failed for each in (champion, tried)):
            return 0
        if split:
            return TRIED if champion is None else CHAMPION
        return CHAMPION | TRIED if tried is not None else 0


def row_of(event: PredictionMade, row: Made) -> TrialRow:
    """Return a row with what both versions predicted for it. Its key and its unit are hashes of their own."""
    return TrialRow(
        key=hash_of(label_key(row.request_id, row.row)),
        unit=None if row.entity_id is None else hash_of(row.entity_id),
        made_at=row.made_at,
        event_time=row.event_time,
        champion=_predicted(event.champion),
        tried=None if event.challenger is None else _predicted(event.challenger),
    )


def to_columns(row: TrialRow, step_key: int, arm: int | None) -> Record:
    return {
        "step_key": step_key,
        "key": row.key,
        "unit": row.unit,
        "arm": arm,
        "event_time": row.event_time,
        "made_at": row.made_at,
        # Lists: orjson refuses a named tuple.
        "predicted": dumps([list(row.champion), None if row.tried is None else list(row.tried)]),
        "label": row.label,
    }


def from_columns(row: WaitingRow | Any) -> TrialRow:
    champion, tried = loads(row.predicted)
    return TrialRow(
        key=row.key,
        unit=row.unit,
        made_at=row.made_at,
        event_time=row.event_time,
        champion=Predicted(*champion),
        tried=None if tried is None else Predicted(*tried),
        label=row.label,
    )


def _predicted(output: Output) -> Predicted:
    return Predicted(output.model_version, output.score, output.label, output.error is not None, output.latency_ms)
