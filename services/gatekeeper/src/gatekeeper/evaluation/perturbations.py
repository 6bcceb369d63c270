"""Dirty versions of golden rows, as faulty production data would be. The same each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from contracts.policy import ModelPolicy
from gatekeeper.evaluation.golden_rows import chosen_rows
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.unseen_categories import KNOWN, MISSING, CategoryTrial
from gatekeeper.policy.unseen_categories import UNSEEN as UNSEEN_VALUES

SEED = 20_130_401
UNSEEN = "a word that was never seen before"
EXTREME = 1e6  # times the column's largest number
NOISE = 0.1  # standard deviations of the column
TRIAL_ROWS, MOST_KNOWN, MOST_COLUMNS = 20, 20, 10

Column = pd.Series
Change = Callable[[Column, np.ndarray, np.random.Generator], Column]


def dirty_rows(measurements: Measurements, features: pd.DataFrame, policy: ModelPolicy) -> dict[str, pd.DataFrame]:
    """Return the rows that the robustness gate wants predicted; note in `measurements` what they are made of."""
    settings = policy.gates.robustness
    if settings is False:
        return {}
    measurements.dirty_rows = chosen_rows(len(features), settings.rows)
    chosen = features.iloc[measurements.dirty_rows].reset_index(drop=True)
    dirty = perturb(chosen, settings.perturbations, settings.share)
    if "unseen" in settings.perturbations:
        measurements.category_trials, trials = unseen_categories(chosen)
        dirty |= trials
    return dirty


def perturb(rows: pd.DataFrame, perturbations: Sequence[str], share: float) -> dict[str, pd.DataFrame]:
    """Apply each kind to a `share` of the cells of every column that it fits; kinds without columns are omitted.

    Integer columns stay unchanged: missing or noisy values would change their type, which a signature rightly
    refuses.
    """
    found: dict[str, pd.DataFrame] = {}
    for kind in perturbations:
        random = np.random.default_rng([SEED, sorted(_CHANGES).index(kind)])
        applies, change = _CHANGES[kind]
        dirty = rows.copy()
        columns = [name for name in rows.columns if applies(rows[name])]
        for name in columns:
            cells = random.random(len(rows)) < share
            dirty[name] = change(rows[name], cells, random)
        if columns:
            found[kind] = dirty
    return found


def unseen_categories(rows: pd.DataFrame) -> tuple[tuple[CategoryTrial, ...], dict[str, pd.DataFrame]]:
    """Return some of the rows with a category of each column replaced: by each known value, by unseen ones, by none.

    A column is one of categories if it holds texts, of which some repeat; its most frequent values are the known ones.
    """
    trials: list[CategoryTrial] = []
    frames: dict[str, pd.DataFrame] = {}
    some = rows.head(TRIAL_ROWS)
    for name in rows.columns:
        counts = rows[name].value_counts() if _is_text(rows[name]) else pd.Series(dtype=int)
        texts = sorted(counts.index, key=lambda value: (-counts[value], str(value)))[:MOST_KNOWN]
        if not 2 <= len(counts) <= len(rows) / 2 or not all(isinstance(value, str) for value in texts):
            continue
        trial = CategoryTrial(str(name), tuple(texts), len(trials))
        trials.append(trial)
        blocks = [some.assign(**{trial.column: value}) for value in texts]
        frames[trial.key(KNOWN)] = pd.concat(blocks, ignore_index=True)
        others = {**UNSEEN_VALUES, MISSING: None}
        frames |= {trial.key(what): _filled(some, trial.column, value) for what, value in others.items()}
        if len(trials) == MOST_COLUMNS:
            break
    return tuple(trials), frames


def _filled(rows: pd.DataFrame, column: str, value: str | None) -> pd.DataFrame:
    return rows.assign(**{column: pd.Series([value] * len(rows), index=rows.index, dtype=object)})


def _is_float(column: Column) -> bool:
    return bool(pd.api.types.is_float_dtype(column.dtype))


def _is_text(column: Column) -> bool:
    return bool(pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype))


def _missing(column: Column, cells: np.ndarray, random: np.random.Generator) -> Column:
    return column.mask(cells, None if _is_text(column) else np.nan)


def _unseen(column: Column, cells: np.ndarray, random: np.random.Generator) -> Column:
    return column.mask(cells, UNSEEN)


def _extreme(column: Column, cells: np.ndarray, random: np.random.Generator) -> Column:
    largest = float(np.nanmax(np.abs(column.to_numpy(dtype=np.float64)), initial=1.0))
    signs = random.choice([-1.0, 1.0], len(column))
    most = float(np.finfo(column.dtype).max) if isinstance(column.dtype, np.dtype) else np.inf
    return _as_it_was(column, cells, pd.Series(signs * min(largest * EXTREME, most), index=column.index))


def _noise(column: Column, cells: np.ndarray, random: np.random.Generator) -> Column:
    spread = float(np.nanstd(column.to_numpy(dtype=np.float64))) if column.notna().any() else 0.0
    noise = pd.Series(random.normal(0.0, NOISE * spread, len(column)), index=column.index)
    return _as_it_was(column, cells, column + noise)


def _as_it_was(column: Column, cells: np.ndarray, values: Column) -> Column:
    """Replace cells in the type of the column: a signature of float32 refuses a column that became float64."""
    return column.mask(cells, values.astype(column.dtype))


_CHANGES: dict[str, tuple[Callable[[Column], bool], Change]] = {
    "missing": (lambda column: _is_float(column) or _is_text(column), _missing),
    "unseen": (_is_text, _unseen),
    "extreme": (_is_float, _extreme),
    "noise": (_is_float, _noise),
}
