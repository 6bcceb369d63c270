"""The section of the verdict page on the tournament on its golden rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from contracts import GateVerdict
from gatekeeper.policy.gates import performance
from gatekeeper.policy.section import Section, Table

COLUMNS = ("version", "compared", "metric", "its own", "champion's", "golden rows", "α", "why")


def section(played: Mapping[str, Any] | None) -> Section | None:
    """Plot each entrant's difference to the champion, and tabulate all entrants; None without a tournament.

    None too for one that an older version wrote in another format.
    """
    if played is None or not {"winner", "reason"} <= played.keys():
        return None
    try:
        entrants = {version: GateVerdict.model_validate(verdict) for version, verdict in played["entrants"].items()}
        rows = [_row(version, verdict) for version, verdict in entrants.items()]
        rows += [(f"v{version}", "no", *(None,) * 5, why) for version, why in played["absent"].items()]
        intervals = tuple(
            dataclasses.replace(drawn, label=f"v{version}: {drawn.label}")
            for version, verdict in entrants.items()
            for drawn in performance.section(verdict).intervals
        )
    except (KeyError, TypeError, AttributeError, ValidationError):
        return None
    title = f"Earlier versions against champion v{played.get('champion_version')}"
    return Section(intervals, (Table(title, COLUMNS, tuple(rows)),) if rows else ())


def _row(version: str, verdict: GateVerdict) -> tuple[Any, ...]:
    details = verdict.details
    figures = (details.get("challenger"), details.get("champion"), verdict.n, details.get("alpha_k"))
    return f"v{version}", verdict.outcome.value, verdict.metric, *figures, verdict.reason
