"""Evidently's report with the distributions. It decides nothing and sends no telemetry."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from html import escape
from typing import Any

import pandas as pd

from chassis.telemetry import get_logger
from drift.reports.page import Drawing
from drift.scoring.scores import JENSEN_SHANNON, WASSERSTEIN, Comparison

LONGEST_VALUE = 200
"""Most characters of a category, or of an error, that are rendered."""
MOST_NAMED = 20
"""Columns left out that are named with the reason."""

log = get_logger(__name__)

_one_at_a_time = threading.Lock()
"""Evidently may not be thread-safe, and two reports at once need twice the memory."""


def render(comparison: Comparison, *, drift_share: float, most_rows: int) -> Drawing:
    """Render Evidently's self-contained page; return it and a description of its data.

    A column on which Evidently raises is left out, and the description says so: a page never prevents a verdict.
    Takes seconds the first time (Evidently is imported here, 200 MB), about one second afterwards.
    """
    reference, current = _sample(comparison.reference, most_rows), _sample(comparison.current, most_rows)
    drawn = [
        name
        for name in comparison.distances
        if reference[name].notna().any() and current[name].notna().any()  # Evidently raises for an empty column
    ]
    if not drawn:
        return Drawing(None, "No feature has values on both sides: there is nothing to draw.")
    note = f"Drawn from all {len(current):,} rows of the window and all {len(reference):,} of the reference."
    if len(current) < len(comparison.current) or len(reference) < len(comparison.reference):
        note = (
            f"Drawn from a sample: {len(current):,} of {len(comparison.current):,} rows of the window, "
            f"{len(reference):,} of {len(comparison.reference):,} of the reference. The scores are of all rows."
        )

    def draw(names: list[str]) -> str:
        return _evidently(reference[names], current[names], comparison, drift_share)

    page, left_out = _page(draw, drawn)
    return Drawing(page, f"{note if page else 'Not drawn.'} {_left_out(left_out)}".strip())


def _page(draw: Callable[[list[str]], str], names: list[str]) -> tuple[str | None, dict[str, str]]:
    """Return the page of the columns that can be drawn, and why each of the others cannot.

    Drawing each column alone takes about as long as drawing all, and is needed only after a failure.
    """
    fault = _fault(draw, names)
    if not isinstance(fault, Exception):
        return fault, {}
    alone = {name: found for name in names if isinstance(found := _fault(draw, [name]), Exception)}
    left_out = {name: _in_words(found) for name, found in alone.items()}
    rest = [name for name in names if name not in alone]
    page = _fault(draw, rest) if rest and alone else fault
    if isinstance(page, Exception):
        return None, left_out | dict.fromkeys(rest, f"not together with the others: {_in_words(page)}")
    return page, left_out


def _fault(draw: Callable[[list[str]], str], names: list[str]) -> str | Exception:
    try:
        return draw(names)
    except Exception as error:  # whatever the library raises, the verdict on the window stands
        log.warning("not drawn", columns=names[:MOST_NAMED], error=_in_words(error))
        return error


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())[:LONGEST_VALUE]
    if text.startswith("Too many bins"):  # of numpy.histogram
        return "no histogram fits its values: they differ by too little for their size, or by too much"
    return f"Evidently raised {type(error).__name__}: {text}"


def _left_out(reasons: dict[str, str]) -> str:
    if not reasons:
        return ""
    named = [f"{name} ({why})" for name, why in list(reasons.items())[:MOST_NAMED]]
    more = f" and {len(reasons) - len(named)} more" if len(reasons) > len(named) else ""
    return f"Left out of the drawing: {', '.join(named)}{more}."


def _evidently(reference: pd.DataFrame, current: pd.DataFrame, comparison: Comparison, drift_share: float) -> str:
    os.environ["DO_NOT_TRACK"] = "1"  # disables Evidently's telemetry
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = {name: escape(name) for name in reference.columns}
    limits = {names[score.feature]: score.limit for score in comparison.scores if score.feature in names}
    definition = DataDefinition(
        numerical_columns=[names[name] for name in comparison.numeric if name in names],
        categorical_columns=[names[name] for name in comparison.categorical if name in names],
    )
    preset = DataDriftPreset(
        num_method=WASSERSTEIN, cat_method=JENSEN_SHANNON, per_column_threshold=limits, drift_share=drift_share
    )
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about constant columns
        frames = [_harmless(frame, comparison.categorical).rename(columns=names) for frame in (current, reference)]
        sets = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
        snapshot: Any = Report([preset]).run(*sets)
        return str(snapshot.get_html_str(as_iframe=False))


def _harmless(frame: pd.DataFrame, categorical: tuple[str, ...]) -> pd.DataFrame:
    """Escape values: Evidently writes them unescaped, so a category `</script>…` from a request would run."""
    names = [name for name in categorical if name in frame.columns]
    return frame.assign(**{name: frame[name].map(_shown) for name in names})


def _shown(value: str | None) -> str | None:
    return None if value is None else escape(value[:LONGEST_VALUE])


def _sample(frame: pd.DataFrame, most_rows: int) -> pd.DataFrame:
    """Sample rows deterministically, so that rendering again gives the same page."""
    if len(frame) <= most_rows:
        return frame.reset_index(drop=True)
    return frame.sample(n=most_rows, random_state=0).sort_index().reset_index(drop=True)
