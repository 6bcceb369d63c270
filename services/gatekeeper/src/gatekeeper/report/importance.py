"""The section of the verdict page on the importance of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatekeeper.policy.section import Section, Table
from gatekeeper.report.form import Shown

MOST_SHOWN = 30


def shown(measurements: Mapping[str, Any] | None) -> Shown | None:
    """The section; None for evidence without importance: of a version that did not pass, or older."""
    found = (measurements or {}).get("importance")
    if found is None:
        return None
    try:
        worse, metric = dict(found["worse"]), found["metric"]
        if not worse:
            return Shown("not known", f"{found['problem'] or 'there are no columns'}.", Section())
        text = (
            f"By how much {metric} is worse on {found['rows']:,} golden rows when the values of one column are"
            f" permuted; unpermuted it is {found['value']:.4f}. No gate looks at this."
        )
        if found["missing"]:
            names = ", ".join(found["missing"][:5]) + (", …" if len(found["missing"]) > 5 else "")
            text += f" Not measured: {len(found['missing'])} columns ({names}): {found['problem']}."
        title = "Columns, the most important first" + (f" ({MOST_SHOWN} of {len(worse)})" * (len(worse) > MOST_SHOWN))
        rows = sorted(worse.items(), key=lambda each: -each[1])[:MOST_SHOWN]
        return Shown(
            f"of {len(worse)} columns", text, Section(tables=(Table(title, ("column", "worse"), tuple(rows)),))
        )
    except (KeyError, TypeError, ValueError):
        return None
