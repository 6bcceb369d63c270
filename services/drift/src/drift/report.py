"""Evidently's report with the distributions. It decides nothing and sends no telemetry."""

from __future__ import annotations

import os
import threading
import warnings
from html import escape
from typing import Any

import pandas as pd

from drift.report_page import Drawing
from drift.scores import JENSEN_SHANNON, WASSERSTEIN, Comparison

LONGEST_VALUE = 200
"""Most characters of a category that are rendered."""

_one_at_a_time = threading.Lock()
"""Evidently may not be thread-safe, and two reports at once need twice the memory."""


def render(comparison: Comparison, *, drift_share: float, most_rows: int) -> Drawing:
    """Render Evidently's self-contained page; return it and a description of its data.

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
    return Drawing(_evidently(reference[drawn], current[drawn], comparison, drift_share), note)


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
