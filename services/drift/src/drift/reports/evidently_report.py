"""Evidently's report with the distributions. It decides nothing and sends no telemetry.

Imported by `drawing_process` only.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from chassis.telemetry import get_logger
from contracts import FeatureScore
from drift.reports.page import Drawing
from drift.scoring.scores import JENSEN_SHANNON, WASSERSTEIN, Comparison, compare

LONGEST_VALUE = 200
"""Most characters of a category, or of an error, that are rendered."""
DISTANCES = (WASSERSTEIN, JENSEN_SHANNON)
MOST_NAMED = 20
"""Columns left out that are named with the reason."""

log = get_logger(__name__)


def render(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    scores: Sequence[FeatureScore],
    *,
    drift_share: float | None,
    most_rows: int,
) -> Drawing:
    """Render Evidently's self-contained page; return it and a description of its data.

    `scores`: those of the verdict, whose limits Evidently draws with; what has none is not drawn. `drift_share`: the
    share of the columns that must have drifted; None: a single one is enough. A column on which Evidently raises is
    left out, and the description says so. Takes seconds the first time (Evidently is imported here, 200 MB), about one
    second afterwards.
    """
    limits = {score.feature: score.limit for score in scores if score.method in DISTANCES}
    sides = compare(_sample(reference, most_rows), _sample(current, most_rows))
    drawn = [
        name
        for name in sides.distances
        if name in limits and sides.reference[name].notna().any() and sides.current[name].notna().any()
    ]  # Evidently raises for an empty column
    if not drawn:
        return Drawing(None, "No feature has values on both sides: there is nothing to draw.")
    before, now = len(sides.reference), len(sides.current)
    note = f"Drawn from all {now:,} rows of the window and all {before:,} of the reference."
    if now < len(current) or before < len(reference):
        note = (
            f"Drawn from a sample: {now:,} of {len(current):,} rows of the window, "
            f"{before:,} of {len(reference):,} of the reference. The scores are of all rows."
        )

    def draw(names: list[str]) -> str:
        return _evidently(sides, names, limits, drift_share)

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


def _evidently(sides: Comparison, columns: list[str], limits: Mapping[str, float], drift_share: float | None) -> str:
    os.environ["DO_NOT_TRACK"] = "1"  # disables Evidently's telemetry
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = {name: escape(name) for name in columns}
    definition = DataDefinition(
        numerical_columns=[names[name] for name in sides.numeric if name in names],
        categorical_columns=[names[name] for name in sides.categorical if name in names],
    )
    preset = DataDriftPreset(
        num_method=WASSERSTEIN,
        cat_method=JENSEN_SHANNON,
        per_column_threshold={names[name]: limits[name] for name in columns},
        drift_share=1 / len(columns) if drift_share is None else drift_share,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about constant columns
        frames = [
            _harmless(frame[columns], sides.categorical).rename(columns=names)
            for frame in (sides.current, sides.reference)
        ]
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
