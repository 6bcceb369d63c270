"""Turns categorical splits into numeric ones: one table lookup per row instead of ONNX Runtime's comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from forms.form import Unsupported
from forms.trees import Ensemble, Tree

LARGEST = 64_000_000
"""Entries of all tables, one byte each."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Appends to a row, for every categorical split, 0 if its category goes left, 1 if right."""

    tables: tuple[tuple[int, np.ndarray], ...]
    """(feature, (codes, splits)). The matrix contains the row's code in the feature's column."""

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        if len(matrix) == 1:  # in NumPy a step costs the same for one row as for thirty
            row = matrix[0]
            found = [row, *(table[int(row[feature])] for feature, table in self.tables)]
            return np.concatenate(found, dtype=np.float64)[None, :]
        found = [matrix, *(table[matrix[:, feature].astype(np.intp)] for feature, table in self.tables)]
        return np.concatenate(found, axis=1, dtype=np.float64)


def sides(ensemble: Ensemble) -> tuple[Ensemble, Sides, dict[int, dict[int, int]]]:
    """Return the ensemble without categorical splits, the extension of its matrix, and feature → category → code.

    A missing category has the code of the key -1, a category in no split that of -2. Raises Unsupported.
    """
    splits: dict[int, dict[tuple[frozenset[int], bool], int]] = {feature: {} for feature in ensemble.categorical}
    for tree in ensemble.trees:
        for node, left in tree.categories.items():
            known = splits[int(tree.feature[node])]
            known.setdefault((left, bool(tree.missing_left[node])), len(known))
    codes = {
        feature: {-2: 0, -1: 1} | {category: number for number, category in enumerate(categories, start=2)}
        for feature, categories in ensemble.categorical.items()
    }
    if (size := sum(len(known) * len(codes[feature]) for feature, known in splits.items())) > LARGEST:
        raise Unsupported(f"{size:,} pairs of a category and a split: too many to look up")
    tables, starts, width = [], {}, ensemble.features
    for feature, known in splits.items():
        table = np.ones((len(codes[feature]), len(known)), dtype=np.uint8)
        for (left, missing_left), place in known.items():
            table[[codes[feature][category] for category in left], place] = 0
            table[1, place] = not missing_left
        tables.append((feature, table))
        starts[feature] = width
        width += len(known)

    def column(feature: int, left: frozenset[int], missing_left: bool) -> int:
        return starts[feature] + splits[feature][left, missing_left]

    trees = tuple(_numeric(tree, column) for tree in ensemble.trees)
    return replace(ensemble, trees=trees, features=width), Sides(tuple(tables)), codes


def _numeric(tree: Tree, column: Callable[[int, frozenset[int], bool], int]) -> Tree:
    if not tree.categories:
        return tree
    feature, threshold, missing_left = tree.feature.copy(), tree.threshold.copy(), tree.missing_left.copy()
    for node, left in tree.categories.items():
        feature[node] = column(int(tree.feature[node]), left, bool(tree.missing_left[node]))
        threshold[node] = 0.5
        missing_left[node] = False
    return replace(tree, feature=feature, threshold=threshold, missing_left=missing_left, categories={})
