"""Versions and promotions of a model, newest first and a page at a time, and the metrics of its newest versions.

No query here reads more rows than it returns: each walks an index from where the page begins.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from chassis.columns import from_microseconds, microseconds
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.queries import gate_verdict
from gatekeeper.database.tables import CandidateRow, PromotionRow, VerdictRow
from gatekeeper.policy.compared import GATE
from gatekeeper.policy.own_metric import OwnMetric, own_metric

VERSION, PROMOTION = 0, 1
"""Of two entries of one moment the version is the older one: it was registered before it was promoted."""

SOURCE = "gatekeeper"
"""Of the events that this service emits."""

PLACE = re.compile(r"(\d{1,16})\.([01])\.(\d{1,10})", re.ASCII)


@dataclass(frozen=True, order=True)
class Place:
    """A place in a timeline; `number`: a version, or an epoch."""

    at: datetime
    kind: int
    number: int

    def __str__(self) -> str:
        return f"{microseconds(self.at)}.{self.kind}.{self.number}"

    @classmethod
    def read(cls, text: str) -> Place:
        """Read what `str` returns. Raises ValueError for anything else."""
        if (found := PLACE.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is no place in a timeline; leave it out to see the newest entries")
        return cls(from_microseconds(int(found[1])), int(found[2]), int(found[3]))


@dataclass(frozen=True)
class Entry:
    """A version, or a promotion: `row` has the columns that `page` reads."""

    place: Place
    row: Row[Any]

    @property
    def is_promotion(self) -> bool:
        return self.place.kind == PROMOTION


VERSIONS = select(
    CandidateRow.id,
    CandidateRow.model_version,
    CandidateRow.state,
    CandidateRow.reason,
    CandidateRow.judgement,
    CandidateRow.champion_version,
    CandidateRow.metrics,
    CandidateRow.registered_at,
    CandidateRow.judged_at,
    CandidateRow.quarantine,
    CandidateRow.event["correlation_id"].as_string().label("correlation_id"),
)
"""Without the evidence, which may be a megabyte."""
PROMOTIONS = select(
    PromotionRow.epoch,
    PromotionRow.model_version,
    PromotionRow.cause,
    PromotionRow.actor,
    PromotionRow.promoted_at,
    PromotionRow.restored,
    PromotionRow.event_id,
    PromotionRow.event["previous_version"].as_integer().label("previous_version"),
    PromotionRow.event["reason"].as_string().label("reason"),
)


def page(session: Session, model_name: str, limit: int, before: Place | None = None) -> tuple[list[Entry], bool]:
    """Return `limit` entries older than `before`, newest first, and whether there are more."""
    versions = VERSIONS.where(CandidateRow.model_name == model_name)
    promotions = PROMOTIONS.where(PromotionRow.model_name == model_name)
    at, number = CandidateRow.registered_at, CandidateRow.model_version
    found = [
        Entry(Place(row.registered_at, VERSION, row.model_version), row)
        for row in session.execute(_older(versions, at, number, VERSION, before).limit(limit + 1))
    ]
    at, number = PromotionRow.promoted_at, PromotionRow.epoch
    found += [
        Entry(Place(row.promoted_at, PROMOTION, row.epoch), row)
        for row in session.execute(_older(promotions, at, number, PROMOTION, before).limit(limit + 1))
    ]
    found.sort(key=lambda entry: entry.place, reverse=True)
    return found[:limit], len(found) > limit


def newest_judged(session: Session, model_name: str, limit: int) -> Sequence[Row[Any]]:
    """Return the newest versions that have a verdict, the newest first."""
    query = VERSIONS.where(CandidateRow.model_name == model_name, CandidateRow.judged_at.is_not(None))
    return session.execute(query.order_by(CandidateRow.model_version.desc()).limit(limit)).all()


def own_metrics(session: Session, candidate_ids: Collection[str]) -> dict[str, OwnMetric]:
    """Return what the performance gate measured, by candidate; without those of which it measured nothing."""
    query = select(VerdictRow).where(VerdictRow.candidate_id.in_(candidate_ids), VerdictRow.gate == GATE)
    found = {row.candidate_id: own_metric(gate_verdict(row)) for row in session.scalars(query)}
    return {candidate_id: each for candidate_id, each in found.items() if each is not None}


def champions_among(session: Session, model_name: str, versions: Collection[int]) -> set[int]:
    """Return those of `versions` that were ever champion."""
    query = select(PromotionRow.model_version).where(
        PromotionRow.model_name == model_name, PromotionRow.model_version.in_(versions)
    )
    return set(session.scalars(query.distinct()))


def stories(session: Session, event_ids: Collection[str]) -> dict[str, str]:
    """Return the correlation ids of events of this service, by event id; without those that were not recorded."""
    query = select(EventLogRow.event_id, EventLogRow.correlation_id).where(
        EventLogRow.source == SOURCE, EventLogRow.event_id.in_(event_ids)
    )
    return dict(session.execute(query).tuples().all())


def _older(
    query: Select[Any],
    at: InstrumentedAttribute[datetime],
    number: InstrumentedAttribute[int],
    kind: int,
    before: Place | None,
) -> Select[Any]:
    query = query.order_by(at.desc(), number.desc())
    if before is None:
        return query
    if kind > before.kind:
        return query.where(at < before.at)
    query = query.where(at <= before.at)
    return query if kind < before.kind else query.where((at < before.at) | (number < before.number))
