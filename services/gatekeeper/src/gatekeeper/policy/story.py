"""A story: what followed from one event, as a tree by causation, and where its time went.

Events name their cause. A job stands between its cause and the events that it ended with. What names no cause that is
in the story, such as the next step of a rollout, follows what came before it about the same rollout or version; such a
step is marked as inferred. The critical path leads from the first event to the swap on a replica of production, or to
the last step while there is none; its parts add up to its duration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

ENDS_WITH: Mapping[str, frozenset[str]] = {
    "train": frozenset({"ModelRegistered", "TrainingFailed"}),
    "gate": frozenset({"GatePassed", "GateFailed", "Promoted", "RolloutChanged", "ApprovalRequested"}),
    "tournament": frozenset({"Promoted", "RolloutChanged", "ApprovalRequested"}),
    "benchmark": frozenset({"BenchmarkCompleted"}),
}
"""The events that a job of this kind may end with."""
LATE = timedelta(seconds=5)
"""After its end, an event of a job is still its own: both are of one transaction."""
ONE_TRANSACTION = timedelta(seconds=1)
BY_PEOPLE = frozenset({"ApprovalGiven", "ApprovalRefused"})
OF_ROLLOUTS = frozenset({"RolloutChanged", "RolloutMeasured", "ApprovalRequested", "Promoted"})
LOADS = frozenset({"ModelLoaded", "ModelLoadFailed"})
MOST_STEPS = 2000


class Kind(StrEnum):
    EVENT = "event"
    JOB = "job"
    DECISION = "decision"
    LOAD = "load"


class Spent(StrEnum):
    """What time was spent on."""

    PUBLISHING = "publishing"
    """From the commit of an event until its reader has it, and handles it."""
    QUEUED = "queued"
    """A job waits for a worker, or for earlier jobs of its model."""
    RUNNING = "running"
    LOADING = "loading"
    LIVE = "live traffic"
    """A rollout collects evidence, or is watched."""
    PEOPLE = "people"
    """A decision of people is waited for."""


@dataclass(frozen=True)
class EventFact:
    """An event of the log. `seconds`: of a load, from the arrival of its cause to the swap."""

    id: str
    source: str
    name: str
    model_name: str
    model_version: int | None
    cause: str | None
    at: datetime
    text: str = ""
    actor: str | None = None
    rollout_id: str | None = None
    seconds: float | None = None
    is_swap: bool = False
    """A replica of production predicts with the champion from then on."""


@dataclass(frozen=True)
class JobFact:
    """A job; `started_at` is that of its last attempt. `cause`: the id of the event that it is because of."""

    id: str
    kind: str
    service: str
    model_name: str
    cause: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    state: str
    attempts: int = 1
    error: str | None = None


@dataclass(frozen=True)
class DecisionFact:
    """A row of the audit trail; `event_id`: of the event that it is about."""

    sequence: int
    action: str
    actor: str
    at: datetime
    model_name: str
    model_version: int | None
    reason: str
    event_id: str | None = None
    rollout_id: str | None = None


@dataclass(frozen=True)
class Span:
    """`ends` is None while it lasts."""

    spent: Spent
    begins: datetime
    ends: datetime | None


@dataclass(frozen=True)
class Step:
    """One step; `begins` is the end of its parent. `ends` is None while it lasts."""

    id: str
    kind: Kind
    name: str
    service: str
    model_name: str
    model_version: int | None
    who: str | None
    text: str
    begins: datetime
    ends: datetime | None
    parent: str | None = None
    inferred: bool = False
    depth: int = 0
    failed: bool = False
    spans: tuple[Span, ...] = ()
    audit: tuple[int, ...] = ()
    """Numbers of the rows of the audit trail about it."""
    rollout_id: str | None = None
    is_swap: bool = False
    on_path: bool = False


@dataclass(frozen=True)
class Story:
    """`steps`: in the order of the tree; a child follows its parent. `path`: ids of the steps of the critical path."""

    steps: tuple[Step, ...]
    begins: datetime
    ends: datetime
    path: tuple[str, ...]
    spent: Mapping[Spent, float]
    """Seconds of the critical path, by what they were spent on."""
    swapped: bool
    """The path ends with a swap."""
    running: tuple[str, ...]
    """Ids of the jobs that have not ended."""
    left_out: int = 0

    @property
    def seconds(self) -> float:
        return (self.ends - self.begins).total_seconds()

    @property
    def path_seconds(self) -> float:
        return sum(self.spent.values())


def tell(
    events: Sequence[EventFact],
    jobs: Sequence[JobFact] = (),
    decisions: Sequence[DecisionFact] = (),
    *,
    now: datetime,
) -> Story | None:
    """Return the story of these facts, which belong to one correlation id; None without any event or job."""
    events = sorted(events, key=lambda each: (each.at, each.id))
    jobs = sorted(jobs, key=lambda each: (each.created_at, each.id))
    shown = events[:MOST_STEPS]
    steps = {step.id: step for step in (*map(_of_event, shown), *map(_of_job, jobs[:MOST_STEPS]))}
    if not steps:
        return None
    owned = {each.id: job for each in shown if (job := _job_of(each, jobs)) is not None}
    causes = {each.id: each.cause for each in shown} | {f"job:{each.id}": each.cause for each in jobs}
    _link(steps, causes, owned)
    steps |= _decided(steps, decisions)
    _time(steps, now)
    ordered = _in_order(steps)
    path = _path(ordered)
    on_path = frozenset(path)
    ordered = [replace(step, on_path=step.id in on_path) for step in ordered]
    return Story(
        steps=tuple(ordered),
        begins=min(step.begins for step in ordered),
        ends=max(step.ends or now for step in ordered),
        path=path,
        spent=_spent([steps[each] for each in path], now),
        swapped=steps[path[-1]].is_swap,
        running=tuple(step.id for step in ordered if step.ends is None),
        left_out=len(events) - len(shown),
    )


def _of_event(fact: EventFact) -> Step:
    return Step(
        id=fact.id,
        kind=Kind.LOAD if fact.name in LOADS else Kind.EVENT,
        name=fact.name,
        service=fact.source,
        model_name=fact.model_name,
        model_version=fact.model_version,
        who=fact.actor,
        text=fact.text,
        begins=fact.at,
        ends=fact.at,
        failed="Failed" in fact.name,
        spans=(Span(Spent.LOADING, fact.at - timedelta(seconds=fact.seconds), fact.at),) if fact.seconds else (),
        rollout_id=fact.rollout_id,
        is_swap=fact.is_swap,
    )


def _of_job(fact: JobFact) -> Step:
    began = fact.started_at or fact.ended_at
    spans = [Span(Spent.QUEUED, fact.created_at, began)]
    if began is not None:
        spans.append(Span(Spent.RUNNING, began, fact.ended_at))
    attempts = f"attempt {fact.attempts}" if fact.attempts > 1 else ""
    return Step(
        id=f"job:{fact.id}",
        kind=Kind.JOB,
        name=fact.kind,
        service=fact.service,
        model_name=fact.model_name,
        model_version=None,
        who=None,
        text=": ".join(part for part in (attempts, fact.error or fact.state) if part),
        begins=fact.created_at,
        ends=fact.ended_at,
        failed=fact.error is not None,
        spans=tuple(spans),
    )


def _job_of(event: EventFact, jobs: Iterable[JobFact]) -> str | None:
    """Return the job that an event ended: of the same cause or the cause's own, in the same transaction."""
    fitting = [
        job
        for job in jobs
        if event.name in ENDS_WITH.get(job.kind, ())
        and event.source == job.service
        and event.model_name == job.model_name
        and job.started_at is not None
        and job.started_at <= event.at <= (job.ended_at or event.at) + LATE
    ]
    same = [job for job in fitting if job.cause == event.cause] or fitting
    return f"job:{same[-1].id}" if same and (event.cause is None or same[-1].cause == event.cause) else None


def _link(steps: dict[str, Step], causes: Mapping[str, str | None], owned: Mapping[str, str]) -> None:
    """Give each step its parent; never one that it is itself an ancestor of, whatever foreign events claim."""
    before: list[Step] = []
    for step in sorted(steps.values(), key=lambda each: (each.begins, each.id)):
        cause = owned.get(step.id) or causes.get(step.id)
        parent, inferred = (cause, False) if cause in steps else (None, False)
        if parent is None and step.kind is not Kind.JOB:
            parent, inferred = _latest_before(before, step), True
        if parent is not None and not _descends(steps, parent, step.id):
            steps[step.id] = replace(step, parent=parent, inferred=inferred)
        before.append(steps[step.id])


def _latest_before(before: Sequence[Step], step: Step) -> str | None:
    def latest(fits: Callable[[Step], bool]) -> str | None:
        return next((each.id for each in reversed(before) if each.kind is Kind.EVENT and fits(each)), None)

    same_rollout = latest(lambda each: step.rollout_id is not None and each.rollout_id == step.rollout_id)
    version = step.model_version
    return same_rollout or latest(
        lambda each: version is not None and (each.model_name, each.model_version) == (step.model_name, version)
    )


def _descends(steps: Mapping[str, Step], child: str, ancestor: str) -> bool:
    place: str | None = child
    while place is not None:
        if place == ancestor:
            return True
        place = steps[place].parent
    return False


def _decided(steps: dict[str, Step], decisions: Iterable[DecisionFact]) -> dict[str, Step]:
    """Note decisions on the events that they are about; return those that are steps of their own."""
    more: dict[str, Step] = {}
    for fact in sorted(decisions, key=lambda each: each.sequence):
        about = steps.get(fact.event_id or "") or _of_same_moment(steps.values(), fact)
        if about is not None:
            who = about.who or fact.actor
            steps[about.id] = replace(about, who=who, audit=(*about.audit, fact.sequence))
            continue
        step = Step(
            id=f"audit:{fact.sequence}",
            kind=Kind.DECISION,
            name=fact.action,
            service="gatekeeper",
            model_name=fact.model_name,
            model_version=fact.model_version,
            who=fact.actor,
            text=fact.reason,
            begins=fact.at,
            ends=fact.at,
            rollout_id=fact.rollout_id,
            audit=(fact.sequence,),
        )
        before = sorted((each for each in steps.values() if each.begins <= fact.at), key=lambda each: each.begins)
        parent = _latest_before(before, step) or next((each.id for each in before if each.parent is None), None)
        more[step.id] = replace(step, parent=parent, inferred=True)
    return more


def _of_same_moment(steps: Iterable[Step], fact: DecisionFact) -> Step | None:
    """Return the event of the same decision: of the same person, about the same rollout, in the same transaction."""
    return next(
        (
            step
            for step in steps
            if step.kind is Kind.EVENT
            and (step.who, step.rollout_id) == (fact.actor, fact.rollout_id)
            and abs(step.begins - fact.at) < ONE_TRANSACTION
        ),
        None,
    )


def _time(steps: dict[str, Step], now: datetime) -> None:
    """Let each step begin where its parent ended, and divide its time."""
    for step in list(steps.values()):
        if step.parent is None:
            begins = step.spans[0].begins if step.spans else step.begins
            steps[step.id] = replace(step, begins=begins)
            continue
        parent = steps[step.parent]
        ready = parent.ends or now
        first = step.spans[0].begins if step.spans else step.ends or now
        spans = step.spans
        if ready < first:
            spans = (Span(_waited_for(step, parent), ready, first), *spans)
        steps[step.id] = replace(step, begins=min(ready, first), spans=spans)


def _waited_for(step: Step, parent: Step) -> Spent:
    by_people = step.name in BY_PEOPLE or (parent.name == "ApprovalRequested" and step.kind is not Kind.JOB)
    if by_people or (step.kind is Kind.DECISION and step.who not in (None, "gatekeeper")):
        return Spent.PEOPLE
    if parent.name == "RolloutChanged" and step.name in OF_ROLLOUTS:
        return Spent.LIVE
    if step.name in ENDS_WITH["train"] and parent.kind is Kind.EVENT:
        return Spent.RUNNING  # of a training whose job is not known here
    return Spent.PUBLISHING


def _in_order(steps: Mapping[str, Step]) -> list[Step]:
    children: dict[str | None, list[Step]] = {}
    for step in steps.values():
        children.setdefault(step.parent, []).append(step)
    for each in children.values():
        each.sort(key=lambda step: (step.ends is None, step.ends or step.begins, step.id))
    ordered, left = [], [replace(step, depth=0) for step in reversed(children.get(None, []))]
    while left:
        step = left.pop()
        ordered.append(step)
        left += [replace(child, depth=step.depth + 1) for child in reversed(children.get(step.id, []))]
    return ordered


def _path(ordered: Sequence[Step]) -> tuple[str, ...]:
    """Return the way to the first swap of the last promotion, else to what happened last."""
    by_id = {step.id: step for step in ordered}
    promoted = [step for step in ordered if step.name == "Promoted" and step.ends is not None]
    last = max(promoted, key=lambda step: step.begins, default=None)
    swaps = [step for step in ordered if step.is_swap and (last is None or step.parent == last.id)]
    if swaps:
        place: Step | None = min(swaps, key=lambda step: step.ends or step.begins)
    else:
        ended = [step for step in ordered if step.ends is not None and step.kind is not Kind.DECISION] or ordered
        place = max(ended, key=lambda step: (step.ends or step.begins, -step.depth))
    way = []
    while place is not None:
        way.append(place.id)
        place = by_id[place.parent] if place.parent is not None else None
    return tuple(reversed(way))


def _spent(path: Sequence[Step], now: datetime) -> dict[Spent, float]:
    """Divide the time from the begin of the path to its end; no moment counts twice."""
    found: dict[Spent, float] = {}
    at = path[0].begins
    for step in path:
        for span in step.spans:
            ends = span.ends or now
            if ends > at:
                found[span.spent] = found.get(span.spent, 0.0) + (ends - at).total_seconds()
                at = ends
    return found
