"""Each event in one line, for people: the essentials besides time, type, model and version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.audit import AuditHeadSigned
from contracts.benchmarks import BenchmarkCompleted, BenchmarkDue
from contracts.event import Event
from contracts.lifecycle import (
    GateFailed,
    GatePassed,
    GateResult,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    Promoted,
    TrainingFailed,
    TrainingRequested,
)
from contracts.production import DriftDetected, GroundTruthReceived, Harm, PredictionMade
from contracts.rollouts import (
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    Mode,
    RolloutChanged,
    RolloutMeasured,
)


def elapsed(seconds: float | None) -> str:
    """Return a measured duration in its two largest units: `0.35 s`, `42.1 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    left = round(seconds)
    found: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or found:
            found.append(f"{count} {unit}")
    return " ".join(part for part in found[:2] if not part.startswith("0 "))


def summary(event: Event) -> str:
    """Return the essentials of `event` besides time, type, model and version."""
    return next((one_line(say(event)) for kind, say in WORDS.items() if isinstance(event, kind)), "")


def one_line(text: str, most: int = 200) -> str:
    """Return a text in one line of `most` characters at most."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


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
