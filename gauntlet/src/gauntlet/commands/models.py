"""`gauntlet models`, `candidates` and `show`: the gatekeeper's state and decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json, Limit, ModelName, ModelVersion
from gauntlet.output import console, local_time, print_json, print_listing, print_table, shortened

if TYPE_CHECKING:
    from gauntlet.service_client import ServiceClient


def models(as_json: Json = False, gatekeeper: GatekeeperUrl = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the models: champion, challenger, the rollout that runs, and the version of each serving replica."""
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    found = client.get("/models")
    running = {} if as_json else {each["model_name"]: each for each in _running(client)}
    rows = found if as_json else [_model_row(model, running.get(model["model_name"])) for model in found]
    headings = {
        "model_name": "model",
        "champion": "champion",
        "since": "since",
        "challenger": "challenger",
        "rollout": "rollout",
        "frozen": "frozen",
        "candidates": "candidates",
        "production": "production",
        "staging": "staging",
    }
    print_listing(rows, headings, as_json=as_json, empty="no models: none has a policy, and none was registered")
    if not as_json:
        for model in found:
            for trouble in _troubles(model):
                console().print(trouble, style="yellow", markup=False, soft_wrap=True)


def candidates(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only of this model.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the versions that asked to be champion, and what came of them, newest first."""
    from gauntlet.arguments import model_name
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    names = [model_name(name)] if name else [model["model_name"] for model in client.get("/models")]
    found = [item for each in names for item in client.get(f"/models/{each}/candidates", limit=limit)]
    found.sort(key=lambda item: str(item["registered_at"]), reverse=True)
    rows = found[:limit] if as_json else [_candidate_row(item) for item in found[:limit]]
    headings = {
        "model_name": "model",
        "model_version": "version",
        "state": "state",
        "against": "against",
        "metrics": "metrics",
        "registered": "registered",
        "promoted": "promoted",
        "reason": "reason",
    }
    print_listing(rows, headings, as_json=as_json, empty="no candidates: no version was registered yet")


def show(
    name: ModelName,
    version: ModelVersion,
    as_json: Json = False,
    gatekeeper: GatekeeperUrl = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show one verdict, gate by gate: what was observed, what it was compared with, on how many rows, and why.

    And the tournament on its golden rows, if one was played: earlier versions against the champion. And the form that
    it would be served in, and how that compares with the model itself.
    """
    from gauntlet.arguments import model_name
    from gauntlet.form_lines import form_rows
    from gauntlet.service_client import gatekeeper_client
    from gauntlet.tournament_lines import print_tournament
    from gauntlet.verdict_lines import headline, number, outcome_of, rows_of

    client = gatekeeper_client(gatekeeper, data_dir)
    path = f"/models/{model_name(name)}/candidates/{version}"
    found = client.get(path)
    if as_json:
        print_json(found)
        return
    console().print(headline(found), soft_wrap=True)
    verdicts = found["verdicts"]
    columns = ("gate", "verdict", "metric", "observed", "bound", "margin", "n", "reason")
    numbers = ("observed", "bound", "margin")
    rows = [
        [v["gate"], outcome_of(v), v["metric"], *(number(v[field]) for field in numbers), rows_of(v), v["reason"]]
        for v in verdicts
    ]
    if rows:
        print_table(columns, rows)
    if played := found["evidence"].get("tournament"):
        print_tournament(played)
    evidence = found["evidence"]
    page = ("as a page", f"{client.address.at}{path}/report")
    about = [*_about(found), *_rollouts_of(client, found), *_golden(evidence), *form_rows(evidence), page]
    print_table(("", ""), about)


def _rollouts_of(client: ServiceClient, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what came of the rollouts of a version, newest first, and why gates cannot promote it any more."""
    from gauntlet.rollout_lines import standing

    for rollout in client.get("/rollouts", model_name=found["model_name"], limit=100)["rollouts"]:
        if rollout["challenger_version"] == found["model_version"]:
            ended = f"{rollout['result']}: {rollout['reason']}"
            yield "rollout", ended if rollout["result"] else f"{standing(rollout)}: {rollout['waits_for']}"
    if found["quarantine"]:
        yield "only by a person", found["quarantine"]


def _golden(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield on which golden rows it was judged, and by which of their columns; older evidence does not hold it."""
    source, golden = (evidence.get("measured") or {}).get("golden_source"), evidence.get("golden")
    if source and golden:
        roles = {"label": "label", "entity": "entity", "event time": "event_time"}
        named = ", ".join(f"{role} {golden[key]!r}" for role, key in roles.items() if golden.get(key))
        yield "golden rows", f"{golden['used']:,} of {source['where']}; {named}"


def _running(client: ServiceClient) -> list[dict[str, Any]]:
    """Return the rollouts and watches that run, of all models."""
    found: list[dict[str, Any]] = client.get("/rollouts", active="true", limit=1000)["rollouts"]
    return found


def _model_row(model: Mapping[str, Any], rollout: Mapping[str, Any] | None) -> dict[str, Any]:
    from gauntlet.rollout_lines import short

    champion, challenger = model["champion"], model["challenger"]
    return {
        "model_name": model["model_name"],
        "champion": f"v{champion['model_version']} (epoch {champion['epoch']})" if champion else None,
        "since": local_time(champion["promoted_at"]) if champion else None,
        "challenger": f"v{challenger['model_version']}" if challenger else None,
        "rollout": short(rollout) if rollout else None,
        "frozen": "frozen" if model["frozen"] else None,
        "candidates": ", ".join(f"{number} {state}" for state, number in model["candidates"].items()) or None,
        "production": _loaded(model, "production"),
        "staging": _loaded(model, "staging"),
    }


def _loaded(model: Mapping[str, Any], role: str) -> str | None:
    replicas = [replica for replica in model["replicas"] if replica["role"] == role]
    return ", ".join(f"{x['replica']} {_version(x)}{' (lags)' if x['lagging'] else ''}" for x in replicas) or None


def _version(replica: Mapping[str, Any]) -> str:
    return f"v{replica['model_version']}" if replica["model_version"] else "nothing"


def _troubles(model: Mapping[str, Any]) -> Iterator[str]:
    """Yield which replicas lag and why, and why gates promote nothing."""
    name = model["model_name"]
    for replica in model["replicas"]:
        if replica["lagging"]:
            epoch = f", epoch {replica['epoch']}" if replica["epoch"] else ""
            failed = replica["failed_version"]
            why = f"; loading v{failed} failed: {replica['failure']}" if failed else ""
            yield f"{name}: {replica['replica']} lags, it answers with {_version(replica)}{epoch}{why}"
    if model["frozen"]:
        yield f"{name}: frozen by {model['frozen_by']}: {model['frozen_reason']}"
    if model["policy_digest"] is None:
        yield f"{name}: has no policy; its versions wait for one"


def _candidate_row(item: Mapping[str, Any]) -> dict[str, Any]:
    from gauntlet.verdict_lines import number

    return {
        "model_name": item["model_name"],
        "model_version": item["model_version"],
        "state": item["state"],
        "against": f"v{item['champion_version']}" if item["champion_version"] else None,
        "metrics": ", ".join(f"{name} {number(value)}" for name, value in item["metrics"].items()) or None,
        "registered": local_time(item["registered_at"]),
        "promoted": ", ".join(f"epoch {epoch}" for epoch in item["epochs"]) or None,
        "reason": shortened(item["reason"]),
    }


def _about(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "champion", f"v{found['champion_version']}" if found["champion_version"] else "none to compare with"
    yield "promoted", ", ".join(f"epoch {epoch}" for epoch in found["epochs"]) or "never"
    for field in ("run_id", "artifact_uri", "artifact_digest", "code_version", "policy_digest", "correlation_id"):
        yield field.replace("_", " "), found[field]
    for name, dataset in found["datasets"].items():
        rows = f", {dataset['rows']:,} rows" if dataset["rows"] is not None else ""
        window = f"{dataset['window']}" if dataset["window"] else dataset["uri"]
        yield f"{name} data", f"{window}{rows}, {dataset['digest']}"
    trigger = found["trigger"]
    if trigger:
        yield "came of", f"{trigger['kind']}: {trigger['reason']}" if trigger["reason"] else trigger["kind"]
    for field in ("registered_at", "judged_at"):
        yield field.removesuffix("_at"), local_time(found[field]) if found[field] else None
    for each in found["earlier"]:
        yield "earlier verdict", f"{each['state']}, {local_time(each['judged_at'])}: {shortened(each['reason'])}"
