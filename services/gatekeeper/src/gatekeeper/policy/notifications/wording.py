"""What a message says of one event: what happened, the figures, and where to look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts import Cause, Outcome, Result, Stage
from contracts.notification_settings import Notified
from gatekeeper.policy.section import cell

MOST_FIGURES = 8
LONGEST = 2_000
"""Characters of a reason: it may be a traceback's last line, or what a person pasted."""

Figure = tuple[str, str]


@dataclass(frozen=True)
class Said:
    """`title` consists of our own words, a model's name and numbers; `reason` and `figures` may hold any text."""

    title: str
    reason: str = ""
    figures: tuple[Figure, ...] = ()
    badness: float = 0.0
    """Of two events of one type and severity, the larger is the worse one."""
    path: str = "/"
    """The page of the console that shows it."""


def said(event_type: str, data: Mapping[str, Any]) -> Said:
    """Return what a message says of an event that has a severity. `data`: its JSON."""
    found = _WORDS[Notified(event_type)](data)
    return Said(found.title, found.reason[:LONGEST], found.figures[:MOST_FIGURES], found.badness, found.path)


def expiring(model_name: str, model_version: int, left: str, people: int) -> Said:
    """Return what is said of an approval that expires soon; `left`: how soon, such as `2 h`."""
    count = "1 person" if people == 1 else f"{people} people"
    return Said(
        f"{model_name} v{model_version}: the approval expires in {left}",
        f"It waits for {count}. If nobody approves, the champion stays.",
        (("people needed", str(people)), ("expires in", left)),
        path=_rollout(model_name),
    )


def subject(data: Mapping[str, Any]) -> str:
    version = data.get("model_version")
    return f"{data['model_name']} v{version}" if isinstance(version, int) else str(data["model_name"])


def _rows(*figures: tuple[str, Any]) -> tuple[Figure, ...]:
    return tuple((name, cell(value)) for name, value in figures if value is not None)


def _version(data: Mapping[str, Any]) -> str:
    return f"/console/models/{data['model_name']}/versions/{data['model_version']}"


def _model(data: Mapping[str, Any]) -> str:
    return f"/console/models/{data['model_name']}"


def _rollout(model_name: str) -> str:
    return f"/console/models/{model_name}/rollout"


def _training_requested(data: Mapping[str, Any]) -> Said:
    rows = _rows(("window", data.get("window")), ("requested by", data.get("requested_by")))
    return Said(f"{subject(data)}: a training was requested", str(data.get("reason") or ""), rows, path=_model(data))


def _training_failed(data: Mapping[str, Any]) -> Said:
    rows = _rows(("window", data.get("window")), ("job", data.get("job_id")))
    return Said(f"{subject(data)}: a training failed", str(data["reason"]), rows, path="/console/operations")


def _registered(data: Mapping[str, Any]) -> Said:
    rows = _rows(*sorted(data.get("metrics", {}).items()))
    reason = str((data.get("trigger") or {}).get("reason") or "")
    return Said(f"{subject(data)} was registered", reason, rows, path=_version(data))


def _gates(data: Mapping[str, Any]) -> Said:
    failed = [each for each in data.get("verdicts", ()) if each["outcome"] != Outcome.PASSED]
    passed = [each for each in data.get("verdicts", ()) if each["outcome"] == Outcome.PASSED]
    how = {
        Outcome.PASSED: "passed its gates",
        Outcome.FAILED: "failed its gates",
        Outcome.INCONCLUSIVE: "was not shown to pass its gates",
    }[Outcome(data["outcome"])]
    rows = tuple(figure for each in failed or passed for figure in _gate(each))
    return Said(f"{subject(data)} {how}", str(data["reason"]), rows, float(len(failed)), _version(data))


def _gate(verdict: Mapping[str, Any]) -> Sequence[Figure]:
    if verdict.get("observed") is None:
        return () if verdict["outcome"] == Outcome.PASSED else ((str(verdict["gate"]), str(verdict["outcome"])),)
    bound = "" if verdict.get("bound") is None else f" (bound {cell(verdict['bound'])})"
    rows = "" if verdict.get("n") is None else f", {cell(verdict['n'])} rows"
    name = f"{verdict['gate']}: {verdict['metric']}" if verdict.get("metric") else str(verdict["gate"])
    return ((name, f"{cell(verdict['observed'])}{bound}{rows}"),)


def _promoted(data: Mapping[str, Any]) -> Said:
    former = data.get("previous_version")
    back = Cause(data["cause"]) is Cause.ROLLBACK
    title = f"{subject(data)} is champion again: v{former} was rolled back" if back else f"{subject(data)} is champion"
    metric = data.get("metric")
    value = data.get("baseline", {}).get(metric) if metric else None
    rows = _rows(
        (f"{metric} on golden rows", value),
        ("champion before", f"v{former}" if former else None),
        ("decided by", data.get("actor")),
        ("epoch", data.get("epoch")),
    )
    return Said(title, str(data.get("reason") or ""), rows, path=_model(data))


def _loaded(data: Mapping[str, Any]) -> Said:
    title = f"{subject(data)} was loaded"
    return Said(title, "", _load_rows(data), float(data["seconds"]), path="/console/fleet")


def _load_failed(data: Mapping[str, Any]) -> Said:
    more = "" if data.get("permanent") else "; the replica tries again"
    title = f"{subject(data)} could not be loaded{more}"
    return Said(title, str(data["reason"]), _load_rows(data), float(data["seconds"]), path="/console/fleet")


def _load_rows(data: Mapping[str, Any]) -> tuple[Figure, ...]:
    return _rows(("replica", data.get("replica")), ("role", data.get("role")), ("seconds", float(data["seconds"])))


def _drift(data: Mapping[str, Any]) -> Said:
    scores = sorted(data.get("scores", ()), key=_excess, reverse=True)
    drifted = [each for each in scores if each["drifted"]]
    window, harm = data["window"], data.get("harm") or {}
    metric = data.get("metric") or harm.get("metric")
    rows = _rows(
        (f"{metric} in the window", data.get("observed")),
        ("bound", data.get("bound")),
        (f"{metric}, estimated without labels", harm.get("estimated")),
        (f"{metric} on golden rows", harm.get("baseline")),
        ("share of columns that drifted", data.get("drift_share")),
        ("rows", window.get("rows")),
    )
    rows += tuple((str(each["feature"]), f"{cell(each['score'])} (limit {cell(each['limit'])})") for each in drifted)
    badness = max([_excess(each) for each in scores], default=0.0)
    if data.get("observed") is not None and data.get("bound") is not None:
        badness = max(badness, abs(float(data["observed"]) - float(data["bound"])))
    kind = str(data["kind"])
    title = f"{subject(data)}: drift of its {'data' if kind == 'data' else kind}"
    return Said(title, str(data["reason"]), rows, badness, f"{_model(data)}/drift")


def _excess(score: Mapping[str, Any]) -> float:
    """How many times its limit a score is; of a limit of 0, the score itself."""
    limit = float(score["limit"])
    return float(score["score"]) / limit if limit > 0 else float(score["score"])


def _rollout_changed(data: Mapping[str, Any]) -> Said:
    tried = f"{data['model_name']} v{data['tried']['model_version']}"
    rows = _rows(
        ("champion", f"v{data['champion_version']}"),
        ("share of the entities", data.get("share") or None),
        ("decided by", data.get("actor")),
    )
    if Stage(data["stage"]) is Stage.ENDED:
        title = f"{tried}: its rollout has ended ({Result(data['result']).value})"
    elif Stage(data["stage"]) is Stage.WATCH:
        title = f"{data['model_name']} v{data['champion_version']} is watched"
    else:
        title = f"{tried}: its rollout is at stage {Stage(data['stage']).value}"
    return Said(title, str(data["reason"]), rows, path=_rollout(data["model_name"]))


def _approval_requested(data: Mapping[str, Any]) -> Said:
    rows = _rows(("people needed", data.get("people")), ("expires at", data.get("expires_at")))
    title = f"{subject(data)} waits for approval"
    return Said(title, str(data["reason"]), rows, float(data["people"]), _rollout(data["model_name"]))


def _approval_given(data: Mapping[str, Any]) -> Said:
    rows = _rows(("decided by", data.get("actor")), ("people still needed", data.get("missing")))
    return Said(f"{subject(data)} was approved", str(data.get("reason") or ""), rows, path=_rollout(data["model_name"]))


def _approval_refused(data: Mapping[str, Any]) -> Said:
    rows = _rows(("decided by", data.get("actor")))
    return Said(f"{subject(data)} was refused", str(data.get("reason") or ""), rows, path=_rollout(data["model_name"]))


def _benchmark_due(data: Mapping[str, Any]) -> Said:
    rows = _rows(("rows", data["rows"].get("rows")), ("requested by", data.get("requested_by")))
    return Said(f"{subject(data)}: a benchmark is due", str(data["reason"]), rows, path=_model(data))


def _benchmark_completed(data: Mapping[str, Any]) -> Said:
    outcome = Outcome(data["outcome"])
    how = {
        Outcome.PASSED: "is better than the trivial baseline",
        Outcome.FAILED: "is not better than the trivial baseline",
        Outcome.INCONCLUSIVE: "could not be compared with the trivial baseline",
    }[outcome]
    metric = data.get("metric") or "metric"
    rows = _rows(
        (f"gain of {metric} over {data.get('baseline') or 'the baseline'}", data.get("gain")),
        ("from", data.get("gain_low")),
        ("to", data.get("gain_high")),
        ("winner", f"v{data['winner']}" if data.get("winner") else None),
    )
    return Said(f"{subject(data)} {how}", str(data["reason"]), rows, -float(data.get("gain") or 0.0), _model(data))


_WORDS: Mapping[Notified, Callable[[Mapping[str, Any]], Said]] = {
    Notified.TRAINING_REQUESTED: _training_requested,
    Notified.TRAINING_FAILED: _training_failed,
    Notified.MODEL_REGISTERED: _registered,
    Notified.GATE_PASSED: _gates,
    Notified.GATE_FAILED: _gates,
    Notified.PROMOTED: _promoted,
    Notified.MODEL_LOADED: _loaded,
    Notified.MODEL_LOAD_FAILED: _load_failed,
    Notified.DRIFT_DETECTED: _drift,
    Notified.ROLLOUT_CHANGED: _rollout_changed,
    Notified.APPROVAL_REQUESTED: _approval_requested,
    Notified.APPROVAL_GIVEN: _approval_given,
    Notified.APPROVAL_REFUSED: _approval_refused,
    Notified.BENCHMARK_DUE: _benchmark_due,
    Notified.BENCHMARK_COMPLETED: _benchmark_completed,
}
