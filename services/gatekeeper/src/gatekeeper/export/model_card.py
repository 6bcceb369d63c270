"""The model card: what a version is, on what it was judged, what was measured, and what its gates do not show.

Sections as in Mitchell et al., Model Cards for Model Reporting (2019), as far as Gauntlet knows them; what a person has
to write (intended use, ethical considerations) is named as missing, not invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts import Outcome

TASKS = {"binary": "binary classification", "multiclass": "multiclass classification", "regression": "regression"}
UNKNOWN = "not known"


def card(
    verdict: Mapping[str, Any],
    evidence: Mapping[str, Any],
    policy: Mapping[str, Any] | None,
    files: Mapping[str, Any],
    decisions: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the card; each argument is the content of the exported file of that name."""
    measured = evidence.get("measured") or {}
    problem = measured.get("problem")
    return {
        "model": verdict["model_name"],
        "version": verdict["model_version"],
        "what": {
            "task": TASKS.get(str(problem), problem),
            "classes": (
                (evidence.get("output") or {}).get("classes") or (measured.get("description") or {}).get("classes")
            ),
            "label": (evidence.get("golden") or {}).get("label"),
            "flavors": files["flavors"],
            "features": files["features"],
            "artifact_uri": verdict["artifact_uri"],
            "artifact_digest": verdict["artifact_digest"],
            "run_id": verdict["run_id"],
            "code_version": verdict["code_version"],
            "registered_at": verdict["registered_at"],
            "made_because": verdict["trigger"],
        },
        "data": {**verdict["datasets"], "golden": _golden(evidence)},
        "outcome": {"state": verdict["state"], "reason": verdict["reason"], "judged_at": verdict["judged_at"]},
        "metrics": dict(sorted(verdict["metrics"].items())),
        "gates": [
            {key: each[key] for key in ("gate", "outcome", "reason", "metric", "observed", "bound", "margin", "n")}
            for each in verdict["verdicts"]
        ],
        "limits": limits(verdict, evidence, policy, files),
        "decisions": [
            {key: each[key] for key in ("epoch", "cause", "actor", "reason", "promoted_at")}
            for each in decisions["promotions"]
        ],
        "not_stated": ["intended use", "uses that are out of scope", "ethical considerations"],
    }


def limits(
    verdict: Mapping[str, Any], evidence: Mapping[str, Any], policy: Mapping[str, Any] | None, files: Mapping[str, Any]
) -> list[str]:
    """Return in sentences what the verdict does not show."""
    found: list[str] = []
    golden, measured = evidence.get("golden"), evidence.get("measured") or {}
    if golden:
        until = f", the newest of {measured['golden_until']}" if measured.get("golden_until") else ""
        found.append(f"Metrics hold for rows like the {golden['used']} golden rows{until}; production may differ.")
    else:
        found.append("It was not measured on golden rows.")
    for name, settings in sorted(((policy or {}).get("gates") or {}).items()):
        if settings is False:
            found.append(f"The gate {name} is switched off in the policy.")
    for each in verdict["verdicts"]:
        if each["outcome"] != Outcome.PASSED:
            found.append(f"The gate {each['gate']} is {each['outcome']}: {each['reason']}")
        elif each["gate"] == "integrity" and "not checked" in each["reason"]:
            found.append(f"The gate integrity: {each['reason']}")
    unknown = [name for name in ("training", "evaluation", "reference") if name not in verdict["datasets"]]
    if unknown:
        found.append(f"Datasets that are {UNKNOWN}: {', '.join(unknown)}.")
    if files["problem"]:
        found.append(f"{files['problem']}.")
    return found


def in_words(content: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    what, outcome = content["what"], content["outcome"]
    facts = {
        "Task": what["task"],
        "Label": what["label"],
        "Classes": _listed(what["classes"]),
        "Flavors": _listed(what["flavors"]),
        "Artifact": what["artifact_digest"],
        "Run": what["run_id"],
        "Code": what["code_version"],
        "Registered": what["registered_at"],
    }
    data = [
        (name, each.get("window"), each.get("rows"), each.get("digest"))
        for name, each in content["data"].items()
        if each
    ]
    gates = [
        (each["gate"], each["outcome"], each["metric"], each["observed"], each["bound"], each["n"], each["reason"])
        for each in content["gates"]
    ]
    decided = [
        (each["epoch"], each["promoted_at"], each["cause"], each["actor"], each["reason"])
        for each in content["decisions"]
    ]
    parts = [
        f"# {content['model']} v{content['version']}",
        f"{str(outcome['state']).capitalize()} on {outcome['judged_at']}: {outcome['reason']}",
        "## What it is",
        _table(("", ""), list(facts.items())),
        "## Features",
        _table(("name", "type", "required"), [tuple(each.values()) for each in what["features"] or ()]),
        "## Data",
        _table(("", "window", "rows", "digest"), data),
        "## Metrics on the golden rows",
        _table(("metric", "value"), list(content["metrics"].items())),
        "## Gates",
        _table(("gate", "verdict", "metric", "observed", "bound", "n", "reason"), gates),
        "## Limits",
        "\n".join(f"- {_cell(each)}" for each in content["limits"]),
        "## Promotions",
        _table(("epoch", "when", "cause", "who", "why"), decided) if decided else "None.",
        "## Not stated",
        f"Gauntlet does not know: {', '.join(content['not_stated'])}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _golden(evidence: Mapping[str, Any]) -> dict[str, Any] | None:
    golden = evidence.get("golden")
    if not golden:
        return None
    return {
        "digest": golden["digest"],
        "rows": golden["used"],
        "label": golden["label"],
        "entity": golden["entity"],
        "event_time": golden["event_time"],
    }


def _listed(values: Sequence[Any] | None) -> str | None:
    return ", ".join(str(value) for value in values) if values else None


def _table(headings: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return f"{UNKNOWN.capitalize()}."
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    """Markdown and HTML of a model's author are shown as they were written."""
    text = "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    for mark in ("\\", "|", "<", "[", "`", "*", "_") if text != "---" else ():
        text = text.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return " ".join(text.split())
