"""Rollouts and fleets as text: where each step stands, on which figures, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape

from chassis.explain.quantities import counted, percent
from contracts.durations import about
from gauntlet.output import local_time
from gauntlet.verdict_lines import number

STYLES = {"promoted": "green", "aborted": "red", "rolled back": "red"}
SPLIT = ("canary", "ab")
STEP_COLUMNS = ("step", "stage", "state", "since", "took", "reason")
FIGURE_COLUMNS = ("stage", "figure", "observed", "bound", "n", "reason")
FLEET_COLUMNS = ("replica", "role", "loaded", "desired", "since", "lag", "tries", "failed")


def headline(rollout: Mapping[str, Any]) -> str:
    """Return which version is tried beside which, and where that stands, as a line of markup."""
    who = f"{rollout['model_name']} v{rollout['challenger_version']}"
    if rollout["result"]:
        style = STYLES.get(rollout["result"], "yellow")
        return f"[{style}]{str(rollout['result']).capitalize()}[/] {escape(who)}: {escape(rollout['reason'])}"
    return f"[bold]{escape(who)}[/] {escape(standing(rollout))}"


def standing(rollout: Mapping[str, Any]) -> str:
    """Return where a rollout that runs stands: `in canary of 10% beside v1, step 2 of 4`."""
    stage, tried = rollout["stage"], rollout["tried_version"]
    champion = f" beside v{rollout['champion_version']}" if rollout["champion_version"] else ""
    said = {
        "staging": "in staging",
        "shadow": f"in shadow{champion}",
        "approval": "waits for approval",
        "watch": f"is champion, watched beside v{tried}",
    }.get(stage, f"in {stage_name(rollout)}{champion}")
    return f"{said}, step {rollout['step'] + 1} of {len(rollout['steps'])}"


def stage_name(step: Mapping[str, Any]) -> str:
    """Return the stage with its share: `canary of 10%`."""
    name = {"ab": "A/B test"}.get(step["stage"], str(step["stage"]))
    return f"{name} of {percent(step['share'])}" if step["stage"] in SPLIT and step["share"] else name


def step_rows(rollout: Mapping[str, Any], now: datetime | None = None) -> list[tuple[Any, ...]]:
    """Return a row a step, in STEP_COLUMNS."""
    now = now or datetime.now(UTC)
    rows = []
    for i, step in enumerate(rollout["steps"], 1):
        began = step["began_at"]
        end = datetime.fromisoformat(step["ended_at"]) if step["ended_at"] else now
        took = (
            about((end - datetime.fromisoformat(began)).total_seconds())
            if began and step["state"] != "to come"
            else None
        )
        why = rollout["waits_for"] if step["state"] == "current" else step["reason"]
        state = "not reached" if rollout["result"] and step["state"] == "to come" else step["state"]
        rows.append((i, stage_name(step), state, local_time(began) if began else None, took, why))
    return rows


def figure_rows(rollout: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return a row a figure of the steps that are done and of the current one, in FIGURE_COLUMNS."""
    return [
        (
            stage_name(step),
            each["name"],
            number(each["observed"]),
            number(each["bound"]),
            f"{each['n']:,}",
            each["reason"],
        )
        for step in rollout["steps"]
        for each in step["figures"]
    ]


def about_rows(rollout: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the rollout rests on, and who approved."""
    champion = rollout["champion_version"]
    yield "champion", f"v{champion} (epoch {rollout['champion_epoch']})" if champion else "none"
    for each in rollout["approvals"]:
        counts = "" if each["counts"] else "; the evidence has changed since, it does not count"
        yield str(each["decision"]), f"{each['actor']}, {local_time(each['at'])}: {each['reason']}{counts}"
    if rollout["people_needed"]:
        yield "still needed", f"{people(rollout['people_needed'])}, until {local_time(rollout['expires_at'])}"
    elif rollout["expires_at"] and not rollout["result"]:
        yield "until", local_time(rollout["expires_at"])
    yield "verdict digest", rollout["verdict_digest"]
    yield "policy digest", rollout["policy_digest"]
    yield "evidence", rollout["evidence_id"]
    yield "rollout", rollout["rollout_id"]


def people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def list_row(rollout: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of the list of rollouts, by field."""
    ended, version = rollout["result"] is not None, rollout["challenger_version"]
    other = rollout["tried_version"] if rollout["champion_version"] == version else rollout["champion_version"]
    return {
        "model_name": rollout["model_name"],
        "version": f"v{version}",
        "against": f"v{other}" if other else None,
        "stage": "ended" if ended else stage_name(rollout),
        "step": f"{rollout['step'] + 1} of {len(rollout['steps'])}",
        "began": local_time(rollout["began_at"]),
        "result": rollout["result"],
        "reason": rollout["reason"] if ended else rollout["waits_for"],
    }


LIST_HEADINGS = {
    "model_name": "model",
    "version": "version",
    "against": "against",
    "stage": "stage",
    "step": "step",
    "began": "began",
    "result": "result",
    "reason": "waits for, or ended because",
}


def short(rollout: Mapping[str, Any]) -> str:
    """Return a rollout in a word or two, for a table of models: `v2 in canary of 10%`."""
    return f"v{rollout['challenger_version']} in {stage_name(rollout)}"


def progress_of(rollout: Mapping[str, Any]) -> Iterable[str]:
    """Return the lines that a follower has not seen yet, for each step that is over and the one that is current.

    The position in the result is stable: it only grows, or its last line changes.
    """
    name = f"{rollout['model_name']} v{rollout['challenger_version']}"
    for i, step in enumerate(rollout["steps"], 1):
        if step["state"] == "to come" or (step["state"] == "done" and not step["began_at"]):
            continue
        yield f"{name} {stage_name(step)} (step {i} of {len(rollout['steps'])}) began"
        if step["state"] == "done" and step["reason"]:
            yield f"{name} {stage_name(step)} is over: {step['reason']}"


def decided_again(replayed: Mapping[str, Any]) -> str:
    """Return, of a rollout whose steps were decided again, whether they agree."""
    computed = [step for step in replayed["steps"] if step["now"] is not None]
    other = len(replayed["steps"]) - len(computed)
    rest = f"; {counted(other, 'step')} not by figures" if other else ""
    said = f"rollout {replayed['rollout_id']}: {counted(len(computed), 'step')} decided again"
    if replayed["agrees"]:
        return f"{said}, to the last digit of every figure{rest}"
    changed = ", ".join(
        f"{each['stage']} was {each['then']} and is {each['now']}" for each in computed if each["differences"]
    )
    return f"{said}{rest}; what differs: {changed}"


def fleet_rows(fleet: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return a row a replica, in FLEET_COLUMNS; the first that lag."""
    replicas = sorted(fleet["replicas"], key=lambda each: (not each["lagging"], each["role"], each["replica"]))
    return [
        (
            each["replica"],
            each["role"],
            _version(each["loaded_version"], each["loaded_epoch"]) or "nothing",
            _version(each["desired_version"], each["desired_epoch"]),
            local_time(each["since"]) if each["since"] else None,
            _lag(each),
            f"v{each['tried_version']} ({each['arm']})" if each["tried_version"] else None,
            f"v{each['failed_version']}: {each['failure']}" if each["failed_version"] else None,
        )
        for each in replicas
    ]


def fleet_headline(fleet: Mapping[str, Any]) -> str:
    """Return the champion, the rollout that runs, and how many replicas have what they should."""
    champion = fleet["champion_version"]
    said = f"{fleet['model_name']}: " + (
        f"champion v{champion} (epoch {fleet['champion_epoch']})" if champion else "no champion"
    )
    if (rollout := fleet["rollout"]) is not None:
        stage = "shadow (watch)" if rollout["stage"] == "watch" else stage_name(rollout)
        said += f"; v{rollout['tried_version']} in {stage}"
    lagging = sum(each["lagging"] for each in fleet["replicas"])
    total = len(fleet["replicas"])
    return f"{said}; {lagging} of {total} replicas lag" if lagging else f"{said}; {total} replicas, none lags"


def _version(version: int | None, epoch: int | None) -> str | None:
    if version is None:
        return None
    return f"v{version}" if epoch is None else f"v{version} (epoch {epoch})"


def _lag(replica: Mapping[str, Any]) -> str | None:
    if not replica["lagging"]:
        return None
    return f"lags {about(replica['lag_seconds'])}" if replica["lag_seconds"] is not None else "lags"
