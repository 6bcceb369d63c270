"""Checks of the steps: small functions that return what was observed, or raise StepFailed with the numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts import (
    Cause,
    DriftDetected,
    DriftKind,
    GateFailed,
    GatePassed,
    GateResult,
    GateVerdict,
    ModelRegistered,
    Outcome,
    Promoted,
)

LATEST_ROLLBACK_SECONDS = 1.0


class StepFailed(Exception):
    """A step's check failed; the message states what was observed instead, with numbers."""


@dataclass(frozen=True)
class Process:
    """A process's identity: a pid may be reused, pid and start time together are unique."""

    pid: int
    started: float


def trained(event: ModelRegistered, training: str | None, golden: str | None) -> str:
    """Check that the version was trained on the story's windows, and is judged on its golden ones."""
    for role, dataset, expected in (("training", event.training, training), ("evaluation", event.evaluation, golden)):
        found = dataset.window if dataset else None
        if expected is not None and found != expected:
            raise StepFailed(f"v{event.model_version}: {role} window is {found}, expected {expected}")
    rows = f"{event.training.rows:,} rows of {event.training.window}" if event.training else "unknown rows"
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(event.metrics.items()))
    judged_on = f"; on {event.evaluation.window}: " if event.evaluation else "; "
    return f"v{event.model_version} from {rows}{judged_on}{metrics}"


def passed(event: GatePassed | GateFailed, champion: int | None) -> str:
    """Check that every gate passed, compared with the current champion (None: there is none yet)."""
    _compared_with(event, champion)
    if not isinstance(event, GatePassed) or event.outcome is not Outcome.PASSED:
        raise StepFailed(f"v{event.model_version} did not pass: {_failures(event)}")
    gates = ", ".join(verdict.gate for verdict in event.verdicts)
    performance = _gate(event, "performance")
    if champion is not None and not performance.n:
        raise StepFailed(f"v{event.model_version}: the performance verdict names no rows: {performance.reason}")
    return f"passed {gates}; {performance.reason}"


def refused_for_performance(event: GatePassed | GateFailed, champion: int) -> str:
    """Check that only the gate `performance` failed, with numbers that show worse (not merely unproven)."""
    _compared_with(event, champion)
    if not isinstance(event, GateFailed):
        raise StepFailed(f"v{event.model_version} passed, though it is worse: {_gate(event, 'performance').reason}")
    stopped = {verdict.gate for verdict in event.verdicts if verdict.outcome is not Outcome.PASSED}
    if stopped != {"performance"}:
        raise StepFailed(f"v{event.model_version} was to fail performance only, but: {_failures(event)}")
    verdict = _gate(event, "performance")
    upper = verdict.details.get("upper")
    if verdict.outcome is not Outcome.FAILED or verdict.observed is None or upper is None or upper >= 0:
        raise StepFailed(f"v{event.model_version} is not shown to be worse: {verdict.outcome}, {verdict.reason}")
    return f"refused: {verdict.reason}"


def refused_as_broken(event: GatePassed | GateFailed) -> str:
    """Check that the functional gate failed it, with the model's own error as the reason."""
    if not isinstance(event, GateFailed):
        raise StepFailed(f"v{event.model_version} passed, though it raises on predict")
    verdict = _gate(event, "functional")
    if verdict.outcome is not Outcome.FAILED:
        raise StepFailed(f"v{event.model_version}: functional is {verdict.outcome}: {verdict.reason}")
    return f"refused: functional: {verdict.reason}"


def promoted(event: Promoted, *, version: int, previous: int | None, cause: Cause, above_epoch: int) -> str:
    """Check that this version followed that one, for that cause, in a higher epoch."""
    found = (event.model_version, event.previous_version, event.cause)
    if found != (version, previous, cause) or event.epoch <= above_epoch:
        raise StepFailed(
            f"promoted v{event.model_version} after v{event.previous_version}, cause {event.cause}, epoch "
            f"{event.epoch}; expected v{version} after v{previous}, cause {cause}, an epoch above {above_epoch}"
        )
    return f"epoch {event.epoch}, cause {event.cause}, by {event.actor}"


def drifted(event: DriftDetected, *, version: int, kinds: Collection[DriftKind]) -> str:
    """Check that the drift is of the serving version, of one of these kinds, with scores over their limits."""
    if event.model_version != version or event.kind not in kinds:
        expected = " or ".join(kinds)
        raise StepFailed(f"drift of v{event.model_version}, kind {event.kind}; expected v{version}, {expected}")
    if event.kind is DriftKind.DATA and not any(score.drifted for score in event.scores):
        raise StepFailed(f"a drift of the data without a drifted feature: {event.reason}")
    if event.kind is DriftKind.PERFORMANCE and (event.observed is None or event.bound is None):
        raise StepFailed(f"a drift of the performance without its numbers: {event.reason}")
    span = f"{event.window.start:%d %b} to {event.window.end:%d %b %Y}"
    harm = f"; estimated harm: {event.harm.harm}, {event.harm.reason}" if event.harm is not None else ""
    return f"{event.kind}: {event.reason}; {event.window.rows:,} rows of {span}{harm}"


def swapped(
    switches: Sequence[tuple[int, int]], *, old: int, new: int, seconds: float, requests: int, failures: Sequence[str]
) -> str:
    """Check that responses changed from the old version to the new one once, and no request failed."""
    if failures:
        raise StepFailed(f"{len(failures)} of {requests:,} requests failed; the first: {failures[0]}")
    if list(switches) != [(old, new)]:
        seen = ", ".join(f"v{one}→v{two}" for one, two in switches) or "no change of version"
        raise StepFailed(f"answers were to change once, from v{old} to v{new}; seen: {seen}")
    return f"v{new} answered {seconds * 1000:,.0f} ms after Promoted; 0 of {requests:,} requests failed"


def answered_within(seconds: float, version: int) -> str:
    """Check the time limit of a rollback."""
    if seconds > LATEST_ROLLBACK_SECONDS:
        raise StepFailed(f"v{version} answered after {seconds:.2f} s, later than {LATEST_ROLLBACK_SECONDS:g} s")
    return f"v{version} answered {seconds * 1000:,.0f} ms after it was asked for"


def same_processes(before: Mapping[str, Process], after: Mapping[str, Process], but: Collection[str] = ()) -> str:
    """Check that every part is still the same process, `but` these, which are new ones."""
    changed = {name for name in before if after.get(name) != before[name]}
    if changed != set(but):
        wrong = ", ".join(sorted(changed ^ set(but)))
        raise StepFailed(f"restarted were {sorted(changed) or 'none'}, expected {sorted(but) or 'none'}: {wrong}")
    return ", ".join(
        f"{name} {process.pid} since {datetime.fromtimestamp(process.started):%H:%M:%S}"
        for name, process in after.items()
        if name not in but
    )


def exactly_once(
    version: int, verdicts: Sequence[GateResult], promotions: Sequence[Promoted], *, proved: bool = True
) -> str:
    """Check for one verdict on the version, and one promotion only if it passed and proved itself where it had to;
    counted on the topics themselves."""
    if len(verdicts) != 1:
        raise StepFailed(f"{len(verdicts)} verdicts on v{version}, expected one")
    expected = int(isinstance(verdicts[0], GatePassed) and proved)
    if len(promotions) != expected:
        raise StepFailed(f"v{version} {verdicts[0].outcome}: {len(promotions)} promotions, expected {expected}")
    return f"one verdict ({verdicts[0].outcome}), {'one promotion' if expected else 'no promotion'} of v{version}"


def judged_after(killed: datetime, judged: datetime, version: int) -> None:
    """Check that the gatekeeper was killed before its verdict: otherwise nothing was interrupted."""
    if judged <= killed:
        late = (killed - judged).total_seconds()
        raise StepFailed(f"the verdict on v{version} was out {late:.2f} s before the kill: nothing was interrupted")


def _compared_with(event: GateResult, champion: int | None) -> None:
    if event.champion_version != champion:
        expected = f"v{champion}" if champion else "no champion"
        raise StepFailed(f"v{event.model_version} was compared with v{event.champion_version}, expected {expected}")


def _gate(event: GateResult, gate: str) -> GateVerdict:
    found = next((verdict for verdict in event.verdicts if verdict.gate == gate), None)
    if found is None:
        ran = ", ".join(verdict.gate for verdict in event.verdicts) or "none"
        raise StepFailed(f"v{event.model_version}: no verdict of the gate {gate}; there are: {ran}")
    return found


def _failures(event: GateResult) -> str:
    said: Iterable[str] = (
        f"{verdict.gate} {verdict.outcome}: {verdict.reason}"
        for verdict in event.verdicts
        if verdict.outcome is not Outcome.PASSED
    )
    return "; ".join(said) or event.reason
