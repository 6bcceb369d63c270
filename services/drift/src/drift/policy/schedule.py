"""When the benchmark of a model is due.

Periods begin at the model's first promotion, and each lasts as long as the policy says. A benchmark belongs to one
period: it is due from the period's end on, as soon as there are enough labelled rows. Periods in which nothing ran are
not made up for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.durations import about
from drift.policy.windows import MINIMUM_ROWS

SHORTEST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Schedule:
    """What is known of a model. `began_at`: its first promotion; `period`: end of the last period that had a benchmark;
    `labelled`: labelled rows of the champion that are kept; `look_after`: not before, since it was tried in vain."""

    champion: int | None
    began_at: datetime | None
    period: datetime | None = None
    running: bool = False
    labelled: int = 0
    look_after: datetime | None = None


@dataclass(frozen=True)
class Due:
    """Run the benchmark of the period that ended at `period`."""

    period: datetime


@dataclass(frozen=True)
class NotDue:
    """`reason` in words; `until`: the end of the period, if it is known; `late`: it has ended, and rows are missing."""

    reason: str
    until: datetime | None = None
    late: bool = False


def decide(schedule: Schedule, every: timedelta, now: datetime) -> Due | NotDue:
    """Return whether a benchmark begins now."""
    if schedule.champion is None or schedule.began_at is None:
        return NotDue("no promotion is known")
    if schedule.running:
        return NotDue("the benchmark of this period runs")
    ended = period_end(schedule.period or schedule.began_at, every, now)
    if ended is None:
        return NotDue("the period has not ended", (schedule.period or schedule.began_at) + every)
    if schedule.labelled < MINIMUM_ROWS:
        return NotDue(too_few(schedule.labelled), ended, late=True)
    if schedule.look_after is not None and now < schedule.look_after:
        return NotDue(f"tried in vain; again after {schedule.look_after:%Y-%m-%d %H:%M:%S} UTC", ended)
    return Due(ended)


def period_end(last: datetime, every: timedelta, now: datetime) -> datetime | None:
    """Return the end of the newest period that has ended since `last`; None when none has."""
    passed = (now - last) // every
    return last + passed * every if passed >= 1 else None


def pause(every: timedelta) -> timedelta:
    """Return after what time rows are counted again when there were too few."""
    return min(max(every / 100, SHORTEST_PAUSE), LONGEST_PAUSE)


def too_few(labelled: int, maturity: timedelta = timedelta(0)) -> str:
    """Say how many rows there are of those that are needed."""
    old = f" of predictions that are {about(maturity.total_seconds())} old" if maturity >= SHORTEST_PAUSE else ""
    return f"not enough labelled rows of the champion: at least {MINIMUM_ROWS}{old} are needed, there are {labelled}"
