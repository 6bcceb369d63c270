"""One-line summaries of events, for people who watch the bus."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from chassis.dead_letters import DeadLetter
from chassis.topics import DEAD_LETTERS
from contracts import (
    EVENTS,
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    AuditHeadSigned,
    BenchmarkCompleted,
    BenchmarkDue,
    DriftDetected,
    Event,
    GateFailed,
    GatePassed,
    GateResult,
    GroundTruthReceived,
    Harm,
    Mode,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    PredictionMade,
    Promoted,
    RolloutChanged,
    RolloutMeasured,
    TrainingFailed,
    TrainingRequested,
)
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


def summary(event: Event) -> str:
    """Return the essentials of `event` besides time, type, model and version."""
    return next((_one_line(say(event)) for kind, say in WORDS.items() if isinstance(event, kind)), "")


def letter_summary(letter: DeadLetter) -> str:
    return _one_line(f"{letter.id}: {letter.error}")


def _names(events: Sequence[type[Event]]) -> list[str]:
    return [event.__name__ for event in events]


def _unknown(wanted: str) -> CliError:
    names = [*_names(EVENTS), DEAD_LETTER]
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wanted.lower(), by_lower, n=1, cutoff=0.5)
    nearest = f"; did you mean {by_lower[near[0]]}?" if near else ""
    return CliError(f"there is no event type {wanted!r}{nearest}", f"Types: {', '.join(names)}")


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 200 else flat[:199] + "…"


def _requested(event: TrainingRequested) -> str:
    what = f"register run {event.from_run} again" if event.from_run else f"window {event.window or 'newest'}"
    by = f" by {event.requested_by}" if event.requested_by else ""
    return f"{what}{by}: {event.reason}"


def _registered(event: ModelRegistered) -> str:
    parts = [f"{name} {value:.4g}" for name, value in event.metrics.items()]
    if event.training and event.training.window:
        parts.insert(0, f"trained on {event.training.window}")
    if event.trigger:
        parts.append(f"because of {event.trigger.kind}")
    return ", ".join(parts)


def _gate_result(event: GateResult) -> str:
    champion = f" against v{event.champion_version}" if event.champion_version else ""
    return f"{event.outcome}{champion}: {event.reason}"


def _promoted(event: Promoted) -> str:
    before = f", was v{event.previous_version}" if event.previous_version else ""
    return f"epoch {event.epoch}{before}, by {event.cause} ({event.actor}) {event.reason}"


def _load_failed(event: ModelLoadFailed) -> str:
    return f"{event.replica} ({event.role}) after {event.seconds:.2f} s: {event.reason}"


def _loaded(event: ModelLoaded) -> str:
    epoch = f", epoch {event.epoch}" if event.epoch else ""
    return f"{event.replica} ({event.role}) in {event.seconds:.2f} s{epoch}"


def _prediction(event: PredictionMade) -> str:
    said = event.champion.score if event.champion.score is not None else event.champion.label
    entity = f", entity {event.entity_id}" if event.entity_id else ""
    return f"{said} in {event.latency_ms:.1f} ms, request {event.request_id} row {event.row}{entity}"


def _truth(event: GroundTruthReceived) -> str:
    of = f"request {event.request_id} row {event.row}" if event.request_id else f"entity {event.entity_id}"
    return f"{event.label!r} for {of}"


def _drift(event: DriftDetected) -> str:
    proxy = " (estimated without labels)" if event.proxy else ""
    share = f", {event.drift_share:.0%} of columns" if event.drift_share is not None else ""
    harm = f", {event.harm.harm}" if event.harm is not None else ""
    if event.harm is not None and event.harm.harm is Harm.UNKNOWN:
        harm = ", harm unknown"
    span = f" ({event.low:.4g} to {event.high:.4g})" if event.low is not None and event.high is not None else ""
    seen = f", {event.metric} {event.observed:.4g}{span}" if event.metric and event.observed is not None else ""
    return f"{event.kind}{proxy} over {event.window.rows} rows{share}{seen}{harm}: {event.reason}"


def _rollout(event: RolloutChanged) -> str:
    tried, champion = f"v{event.tried.model_version}", f"v{event.champion_version}"
    if event.result is not None:
        return f"{tried} {event.result} ({event.actor}): {event.reason}"
    does = {
        Mode.OFF: tried,
        Mode.SHADOW: f"{tried} in shadow of {champion}",
        Mode.SPLIT: f"{tried} serves {100 * event.share:.4g}% of the entities, {champion} the others",
    }[event.mode]
    return f"step {event.step + 1}, {event.stage}: {does} ({event.actor}): {event.reason}"


def _measured(event: RolloutMeasured) -> str:
    arms = "; ".join(
        f"v{arm.model_version} {arm.predictions} rows, {arm.errors} errors, {arm.labelled} labels"
        for arm in (event.tried, event.champion)
    )
    paired = event.paired
    pairs = f"; {paired.n} pairs, {paired.wins} better, {paired.losses} worse" if paired.n else ""
    return f"step {event.step + 1}: {arms}{pairs}"


def _approval_requested(event: ApprovalRequested) -> str:
    people = "1 person" if event.people == 1 else f"{event.people} people"
    return f"by {people} until {event.expires_at:%Y-%m-%d %H:%M} {event.expires_at.tzname()}: {event.reason}"


def _approval_given(event: ApprovalGiven) -> str:
    missing = f", {event.missing} more needed" if event.missing else ""
    return f"by {event.actor}{missing}: {event.reason}".removesuffix(": ")


def _approval_refused(event: ApprovalRefused) -> str:
    return f"by {event.actor}: {event.reason}".removesuffix(": ")


def _benchmark_due(event: BenchmarkDue) -> str:
    by = f" by {event.requested_by}" if event.requested_by else ""
    return f"{event.benchmark_id} on {event.rows.rows} labelled rows{by}: {event.reason}"


def _benchmark_completed(event: BenchmarkCompleted) -> str:
    alert = "ALERT, " if event.beats_baseline is False else ""
    winner = f"v{event.winner} wins, " if event.winner is not None else ""
    return f"{alert}{event.outcome}, {winner}{event.benchmark_id}: {event.reason}"


WORDS: dict[type[Event], Callable[[Any], str]] = {
    AuditHeadSigned: lambda event: f"{event.rows} rows, {event.digest}, signed with {event.key_id}",
    TrainingRequested: _requested,
    TrainingFailed: lambda event: f"job {event.job_id}: {event.reason}",
    ModelRegistered: _registered,
    GatePassed: _gate_result,
    GateFailed: _gate_result,
    Promoted: _promoted,
    ModelLoaded: _loaded,
    ModelLoadFailed: _load_failed,
    PredictionMade: _prediction,
    GroundTruthReceived: _truth,
    DriftDetected: _drift,
    RolloutChanged: _rollout,
    RolloutMeasured: _measured,
    ApprovalRequested: _approval_requested,
    ApprovalGiven: _approval_given,
    ApprovalRefused: _approval_refused,
    BenchmarkDue: _benchmark_due,
    BenchmarkCompleted: _benchmark_completed,
}
