"""The form that a candidate would be served in, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def form_rows(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what the evidence holds of it as rows of a table: the form, its parity, why the faster ones are not used.

    Empty for evidence without one: gatekeepers do not always measure it.
    """
    form = (evidence.get("measured") or {}).get("serving_form")
    if form is None:
        return
    yield "served as", _told(form)
    for each in form["refused"]:
        yield ("", f"not as {each['form']}: {each['reason']}" if each["form"] != "any" else each["reason"])


def _told(form: Mapping[str, Any]) -> str:
    if form["name"] is None:
        return f"not known: {form['problem']}"
    parity = form["parity"]
    if parity is None:
        return f"{form['name']}: the model itself"
    return (
        f"{form['name']}: on {parity['rows']:,} rows {parity['labels_differ']} labels differ from the model's, "
        f"scores by {parity['largest_difference']:.2g} at most (tolerance {parity['tolerance']:g})"
    )
