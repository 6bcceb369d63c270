"""All formats of stored evidence, and the step from each to the next.

When adding, removing or renaming a stored field (of `Measurements`, anything in it, or a tournament), increment
`FORMAT` and add a step: stored verdicts must stay re-evaluable. The tests' golden documents cover every format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 4

Document = dict[str, Any]

ALWAYS = frozenset({"format", "policy", "policy_digest", "measured", "golden", "versions"})
SOMETIMES = frozenset({"tournament", "output"})
"""Keys of the document itself; those within it are fields of dataclasses, which `evidence.decode` compares."""
OF_A_TOURNAMENT = frozenset(
    {
        *("champion_version", "golden_digest", "k", "winner", "reason", "best", "entrants", "absent", "gates"),
        *("contest", "gated"),
    }
)


class Unreadable(ValueError):
    """The evidence has no format of any version up to this one; the message explains why."""


def upgraded(document: Mapping[str, Any]) -> Document:
    """Return the document in the current format; `document` is not modified. Raises Unreadable.

    One without `measured` is returned unchanged: its verdict predates stored evidence, or has none.
    """
    if "measured" not in document:
        return dict(document)
    found = dict(document)
    try:
        if (played := found.get("tournament")) and played.get("gated"):
            found["tournament"] = {**played, "gated": upgraded(played["gated"])}
        while (written := found["format"]) != FORMAT:
            if written not in STEPS:
                raise Unreadable(
                    f"its format is {written!r}; this version reads {min(STEPS)} to {FORMAT}: if a newer one wrote it,"
                    " that one has to read it"
                )
            found = {**STEPS[written](found), "format": written + 1}
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"it is no evidence of any format: {type(error).__name__}: {error}") from error
    same_keys("document", found, ALWAYS | (SOMETIMES & found.keys()))
    if found.get("tournament"):
        same_keys("tournament", found["tournament"], OF_A_TOURNAMENT)
    return found


def serving_form_of(evidence: Mapping[str, Any]) -> str | None:
    """The form in a word, of the evidence of a verdict; None for one that has none, as older ones have."""
    try:
        form = upgraded(evidence)["measured"]["serving_form"] if "measured" in evidence else None
    except Unreadable as error:
        return f"not known: {error}"
    return None if form is None else form["name"] or f"not known: {form['problem']}"


def same_keys(path: str, found: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise Unreadable for an extra or missing key: if ignored, a renamed key would look like an unknown value."""
    if more := sorted(found.keys() - known):
        raise Unreadable(
            f"{path} holds {_list(more)}, which format {FORMAT} does not have; read it with the version that wrote it,"
            " or add the step that was forgotten to gatekeeper/database/evidence_formats.py"
        )
    if fewer := sorted(known - found.keys()):
        raise Unreadable(
            f"{path} lacks {_list(fewer)}, which format {FORMAT} has; it was changed since it was written, or the step"
            " that fills it in was forgotten in gatekeeper/database/evidence_formats.py"
        )


def _list(keys: list[str]) -> str:
    return ", ".join(repr(key) for key in keys)


def _from_1(document: Document) -> Document:
    """Format 1 gained fields without a new number: fill in later fields with their value before they existed."""
    before = document["measured"]
    later = ("golden_uri", "golden_until", "integrity", "stopped", "serving_form")
    measurements = {
        **dict.fromkeys(later),
        **{key: value for key, value in before.items() if key not in ("golden", "form")},  # always null
    }
    for probe in ("probe", "champion_probe"):
        if measurements.get(probe) is not None:
            unmeasured = {"peak_memory_mb": None, "load_memory_mb": None, "batch_seconds": None, "batch_rows": None}
            measurements[probe] = {"isolation": {}, **unmeasured, **measurements[probe]}
    for description in ("description", "champion_description"):
        if measurements.get(description) is not None:
            measurements[description] = {"kinds": None, **measurements[description]}
    policy = {"candidates": "newest", **document["policy"]}
    if "integrity" not in before:  # the gate did not exist then, whatever today's default is
        policy["gates"] = {**policy["gates"], "integrity": False}
    played = document.get("tournament")
    if played:
        unknown = {"k": None, "best": None, "gates": [], "contest": None, "gated": None}
        document = {**document, "tournament": {**unknown, **played}}
    return {**document, "measured": measurements, "policy": policy}


def _from_2(document: Document) -> Document:
    """Until format 3, every policy stated its problem, required every part of the lineage, and took no other version of
    a package than those declared; golden rows were read as they were found."""
    policy = {**document["policy"], "gates": {**document["policy"]["gates"]}}
    gates = policy["gates"]
    if isinstance(gates.get("lineage", {}), dict):
        gates["lineage"] = {"require": ["run", "signature", "data", "code"]}
    integrity = gates.get("integrity", {})
    if isinstance(integrity, dict) and integrity.get("dependencies", "compatible") == "compatible":
        gates["integrity"] = {**integrity, "dependencies": "exact"}
    measured = {"golden_source": None, "problem_because": None, "origin": None, **document["measured"]}
    measured = {"category_trials": [], **measured}
    for description in ("description", "champion_description"):
        if measured.get(description) is not None:
            measured[description] = {"optional": [], **measured[description]}
    if facts := measured["integrity"]:
        needed = [{**each, "same_major": False, "provider": None} for each in facts["dependencies"]]
        measured["integrity"] = {**facts, "dependencies": needed, "suggests": False}
    for probe in ("probe", "champion_probe"):
        if measured.get(probe) is not None:
            later = {"load_cpu_seconds": None, "noise": None, "batch_noise": None, "alone": None, "alone_rows": []}
            measured[probe] = {**later, **measured[probe]}
    golden = document["golden"] and {"entity": None, "event_time": None, **document["golden"]}
    return {**document, "policy": policy, "measured": measured, "golden": golden}


def _from_3(document: Document) -> Document:
    """Until format 4, the importance of the columns was not measured, and bounds did not use the order of golden rows
    in time."""
    measured = {"importance": None, **document["measured"]}
    if source := measured["golden_source"]:
        measured["golden_source"] = {"ordered": False, **source}
    return {**document, "measured": measured}


STEPS: dict[int, Callable[[Document], Document]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""Keyed by the format that each step starts from."""
