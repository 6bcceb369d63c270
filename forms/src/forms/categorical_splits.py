"""Splits by category made splits by number: what ONNX Runtime compares one by one is looked up once a row instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from forms.form import Unsupported
from forms.trees import Ensemble, Tree

LARGEST = 64_000_000
"""Entries of all tables, a byte each."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Appends to a row, for every split by category, 0 where its category goes left, and 1 where right."""

    tables: tuple[tuple[int, np.ndarray], ...]
    """(feature, (codes, splits)). The matrix has the row's code in the feature's column."""

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        if len(matrix) == 1:  # in numpy a step on one row costs what it costs on thirty
            row = matrix[0]
            found = [row, *(table[int(row[feature])] for feature, table in self.tables)]
            return np.concatenate(found, dtype=np.float64)[None, :]
        found = [matrix, *(table[matrix[:, feature].astype(np.intp)] for feature, table in self.tables)]
        return np.concatenate(found, axis=1, dtype=np.float64)


def sides(ensemble: Ensemble) -> tuple[Ensemble, Sides, dict[int, dict[int, int]]]:
    """The ensemble without splits by category; what its matrix needs; and the codes: feature → category → code.

    A missing category has the code of the key -1, one that no split names that of -2.
    Raises Unsupported.
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
