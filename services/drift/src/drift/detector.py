"""Evidently: the report that people read, with our verdict on top. It decides nothing and phones nowhere."""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from contracts import FeatureScore
from drift.policy import Verdict
from drift.scores import JENSEN_SHANNON, WASSERSTEIN, Comparison

LONGEST_VALUE = 200
"""Characters of a category that are drawn."""

_one_at_a_time = threading.Lock()
"""Evidently is not known to be thread-safe, and two reports at once need twice the memory."""


@dataclass(frozen=True)
class Heading:
    """What the report says before Evidently does."""

    title: str
    reference: str
    verdict: Verdict


def render(heading: Heading, comparison: Comparison, *, drift_share: float, most_rows: int) -> str:
    """One self-contained HTML page: the verdict, our scores on all rows, and Evidently's report on at most `most_rows`.

    Takes seconds the first time (Evidently is imported here, 200 MB), about one afterwards.
    """
    reference, is_sample = _sample(comparison.reference, most_rows)
    current, too = _sample(comparison.current, most_rows)
    drawn = [
        name
        for name in comparison.distances
        if reference[name].notna().any() and current[name].notna().any()  # Evidently raises for an empty column
    ]
    note = ""
    if is_sample or too:
        note = (
            f"Drawn from a sample: {len(current):,} of {len(comparison.current):,} rows of the window, "
            f"{len(reference):,} of {len(comparison.reference):,} of the reference. The scores above are of all rows."
        )
    box = _box(heading, comparison, note)
    if not drawn:
        return f"<!DOCTYPE html><html><head><meta charset='utf-8'></head><body>{box}</body></html>"
    page = _evidently(reference[drawn], current[drawn], comparison, drift_share)
    head, body, rest = page.partition("<body")
    attributes, close, rest = rest.partition(">")
    return f"{head}{body}{attributes}{close}{box}{rest}"


def _evidently(reference: pd.DataFrame, current: pd.DataFrame, comparison: Comparison, drift_share: float) -> str:
    os.environ["DO_NOT_TRACK"] = "1"  # read by Evidently, and by the library it phones home with, when they load
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = {name: escape(name) for name in reference.columns}
    limits = {names[score.feature]: score.limit for score in comparison.scores if score.feature in names}
    definition = DataDefinition(
        numerical_columns=[names[name] for name in comparison.numeric if name in names],
        categorical_columns=[names[name] for name in comparison.categorical if name in names],
    )
    preset = DataDriftPreset(
        num_method=WASSERSTEIN,
        cat_method=JENSEN_SHANNON,
        per_column_threshold=limits,
        drift_share=drift_share,
    )
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about constant columns
        frames = [_harmless(frame, comparison.categorical).rename(columns=names) for frame in (current, reference)]
        sets = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
        snapshot: Any = Report([preset]).run(*sets)
        return str(snapshot.get_html_str(as_iframe=False))


def _harmless(frame: pd.DataFrame, categorical: tuple[str, ...]) -> pd.DataFrame:
    """Evidently writes values into its page as they are: a category `</script>…` from a request would be run there."""
    names = [name for name in categorical if name in frame.columns]
    return frame.assign(**{name: frame[name].map(_shown) for name in names})


def _shown(value: str | None) -> str | None:
    return None if value is None else escape(value[:LONGEST_VALUE])


def _sample(frame: pd.DataFrame, most_rows: int) -> tuple[pd.DataFrame, bool]:
    """The same rows each time, so that a report that is rendered again is the same report."""
    if len(frame) <= most_rows:
        return frame.reset_index(drop=True), False
    return frame.sample(n=most_rows, random_state=0).sort_index().reset_index(drop=True), True


def _box(heading: Heading, comparison: Comparison, note: str) -> str:
    rows = "".join(_row(score) for score in sorted(comparison.scores, key=lambda item: item.limit - item.score))
    left_out = "".join(
        f"<li>{escape(name)}: {escape(why)}</li>" for name, why in sorted(comparison.not_compared.items())
    )
    style = "font-family:sans-serif;margin:1rem;padding:1rem;border:2px solid #888;background:#fff;color:#222"
    return (
        f"<section id='gauntlet-verdict' style='{style}'><h1>{escape(heading.title)}</h1>"
        f"<p><b>{escape(heading.verdict.outcome)}</b>: {escape(heading.verdict.reason)}</p>"
        f"<p>Compared with {escape(heading.reference)}. This page looks at features only: it cannot see that the "
        "same features have come to mean something else. Labels can; see the window's performance. Evidently's page "
        "below does not count missing values; the verdict does.</p>"
        "<details><summary>Scores on all rows</summary><table><tr><th align='left'>feature</th>"
        "<th align='left'>method</th><th align='right'>score</th><th align='right'>limit</th><th></th></tr>"
        f"{rows}</table></details>"
        + (f"<details><summary>Not compared</summary><ul>{left_out}</ul></details>" if left_out else "")
        + (f"<p>{escape(note)}</p>" if note else "")
        + "</section>"
    )


def _row(score: FeatureScore) -> str:
    return (
        f"<tr><td>{escape(score.feature)}</td><td>{escape(score.method)}</td><td align='right'>{score.score:.4f}</td>"
        f"<td align='right'>{score.limit:g}</td><td>{'drifted' if score.drifted else ''}</td></tr>"
    )
