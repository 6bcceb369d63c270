"""One-line summaries of events, for people who watch the bus."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from chassis.topics import DEAD_LETTERS
from contracts import EVENTS, Event, GroundTruthReceived, PredictionMade, RolloutMeasured
from contracts.dead_letters import DeadLetter
from contracts.event_summaries import one_line
from gauntlet.errors import CliError

DEAD_LETTER = "DeadLetter"
TOO_MANY: tuple[type[Event], ...] = (PredictionMade, GroundTruthReceived, RolloutMeasured)
"""Types that are shown only on request."""


def topics_of(types: Sequence[str]) -> tuple[list[str], set[str]]:
    """Return the topics to read and the names of the types to show; without `types`, all but the streams.

    A type is named `Promoted` or `gauntlet.Promoted.v1`, in any case. Raises CliError for an unknown one.
    """
    if not types:
        chosen: list[type[Event]] = [event for event in EVENTS if event not in TOO_MANY]
        return [*dict.fromkeys(event.topic for event in chosen), DEAD_LETTERS], {DEAD_LETTER, *_names(chosen)}
    known = {name.lower(): event for event in EVENTS for name in (event.__name__, event.type)}
    topics, names = [], set()
    for wanted in types:
        if wanted.lower() in (DEAD_LETTER.lower(), DEAD_LETTERS):
            topics.append(DEAD_LETTERS)
            names.add(DEAD_LETTER)
        elif (event := known.get(wanted.lower())) is not None:
            topics.append(event.topic)
            names.add(event.__name__)
        else:
            raise _unknown(wanted)
    return list(dict.fromkeys(topics)), names


def letter_summary(letter: DeadLetter) -> str:
    return one_line(f"{letter.id}: {letter.error}")


def _names(events: Sequence[type[Event]]) -> list[str]:
    return [event.__name__ for event in events]


def _unknown(wanted: str) -> CliError:
    names = [*_names(EVENTS), DEAD_LETTER]
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wanted.lower(), by_lower, n=1, cutoff=0.5)
    nearest = f"; did you mean {by_lower[near[0]]}?" if near else ""
    return CliError(f"there is no event type {wanted!r}{nearest}", f"Types: {', '.join(names)}")
