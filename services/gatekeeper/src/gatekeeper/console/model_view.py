"""What the Model screen shows: who is champion, who wants to be, and a page of the model's past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy
from gatekeeper.charts.chart import Chart
from gatekeeper.charts.versions import VersionMetric, metric_by_version
from gatekeeper.database import rollouts, timeline
from gatekeeper.database.model_rows import ModelRows, rows_of
from gatekeeper.database.tables import UNJUDGED
from gatekeeper.database.timeline import Entry, Place
from gatekeeper.policy.own_metric import OwnMetric
from gatekeeper.read_models import AuditView
from gatekeeper.rollout.views import RolloutView, rollout_view

ON_A_PAGE = 25
IN_THE_CHART = 30
"""Versions, the newest."""


@dataclass(frozen=True)
class TimelineLine:
    """A version that was registered, or a promotion. `metric`: of the version; `story`: its correlation id."""

    at: datetime
    is_promotion: bool
    model_version: int
    row: Any
    metric: OwnMetric | None
    story: str | None
    can_promote: bool = False
    can_roll_back: bool = False


@dataclass(frozen=True)
class ModelPage:
    """`older`: where the next page begins; None at the end. `first`: this is the newest page."""

    model_name: str
    rows: ModelRows
    champion_story: str | None
    rollout: RolloutView | None
    being_judged: int
    chart: Chart | None
    timeline: Sequence[TimelineLine]
    older: str | None
    first: bool
    policy: ModelPolicy | None
    policy_problem: str | None
    may: Mapping[str, bool]
    done: AuditView | None

    @property
    def is_empty(self) -> bool:
        return self.first and not self.timeline


def model_page(
    session: Session,
    model_name: str,
    policy: ModelPolicy | None,
    policy_problem: str | None,
    caller: Caller,
    before: Place | None,
    done: AuditView | None,
) -> ModelPage:
    """Return the page of a model. `before`: where its timeline begins; `done`: what was just decided."""
    rows = rows_of(session, [model_name])[model_name]
    running = rollouts.running(session, model_name)
    may = {action.value: caller.may(action, model_name) for action in (Action.APPROVE, Action.OPERATE, Action.OVERRIDE)}
    entries, more = timeline.page(session, model_name, ON_A_PAGE, before)
    ids = [entry.row.event_id for entry in entries if entry.is_promotion]
    champion = rows.champion
    stories = timeline.stories(session, [*ids, *([champion.event_id] if champion else [])])
    metrics = timeline.own_metrics(session, [entry.row.id for entry in entries if not entry.is_promotion])
    return ModelPage(
        model_name=model_name,
        rows=rows,
        champion_story=stories.get(champion.event_id) if champion else None,
        rollout=None if running is None else rollout_view(session, running),
        being_judged=sum(rows.counts.get(state, 0) for state in UNJUDGED),
        chart=chart_of(session, model_name) if before is None else None,
        timeline=[_line(entry, metrics, stories, rows, may) for entry in entries],
        older=str(entries[-1].place) if more else None,
        first=before is None,
        policy=policy,
        policy_problem=policy_problem,
        may=may,
        done=done,
    )


def chart_of(session: Session, model_name: str) -> Chart | None:
    """Return the metrics of the newest versions; of the metric that most of them were judged by."""
    judged = timeline.newest_judged(session, model_name, IN_THE_CHART)
    found = timeline.own_metrics(session, [row.id for row in judged])
    if not found:
        return None
    [(metric, _)] = Counter(each.metric for each in found.values()).most_common(1)
    champions = timeline.champions_among(session, model_name, [row.model_version for row in judged])
    versions = [
        VersionMetric(
            model_version=row.model_version,
            value=own.value,
            lower=own.lower,
            upper=own.upper,
            rows=own.n,
            state=row.state,
            was_champion=row.model_version in champions,
            against=own.champion_version,
            champion=own.champion,
        )
        for row in reversed(judged)
        if (own := found.get(row.id)) is not None and own.metric == metric
    ]
    greater = metric not in METRICS or METRICS[metric].greater_is_better
    return metric_by_version(metric, versions, greater_is_better=greater)


def _line(
    entry: Entry,
    metrics: Mapping[str, OwnMetric],
    stories: Mapping[str, str],
    rows: ModelRows,
    may: Mapping[str, bool],
) -> TimelineLine:
    row, champion = entry.row, rows.champion
    is_champion = champion is not None and champion.model_version == row.model_version
    if entry.is_promotion:
        is_present = champion is not None and champion.epoch == row.epoch
        back = may[Action.OPERATE.value] and not is_champion and not is_present
        story = stories.get(row.event_id)
        return TimelineLine(entry.place.at, True, row.model_version, row, None, story, can_roll_back=back)
    promote = row.state not in UNJUDGED and not is_champion and may[Action.APPROVE.value]
    if row.state != "passed":
        promote = promote and may[Action.OVERRIDE.value]
    story = row.correlation_id
    return TimelineLine(entry.place.at, False, row.model_version, row, metrics.get(row.id), story, can_promote=promote)
