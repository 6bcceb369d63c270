"""The section of the verdict page on the candidate's serving form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatekeeper.policy.section import Section, Table
from gatekeeper.sandbox.compiled_form import NATIVE

COLUMNS = ("form", "used", "rows", "labels that differ", "largest difference", "tolerance", "why not")


@dataclass(frozen=True)
class Shown:
    """A part of the page that no gate looks at."""

    headline: str
    text: str
    section: Section


def shown(measurements: Mapping[str, Any] | None) -> Shown | None:
    """The section; None for evidence without a serving form (older evidence), or with one in another format."""
    form = (measurements or {}).get("serving_form")
    if form is None:
        return None
    try:
        if form["name"] is None:
            return Shown("not known", form["problem"], Section())
        rows = [(each["form"], "no", *(None,) * 4, each["reason"]) for each in form["refused"]]
        if (parity := form["parity"]) is not None:
            figures = (parity["rows"], parity["labels_differ"], parity["largest_difference"], parity["tolerance"])
            rows.append((form["name"], "yes", *figures, None))
        title = "Forms, the fastest first"
        return Shown(form["name"], _text(form), Section(tables=(Table(title, COLUMNS, tuple(rows)),) if rows else ()))
    except (KeyError, TypeError):
        return None


def _text(form: Mapping[str, Any]) -> str:
    told = "It would be served as it is" if form["name"] == NATIVE else "Proven to answer as the model itself does"
    return f"{told}, as its process in the sandbox said ({form['seconds']:.2g} s). No gate looks at this."
