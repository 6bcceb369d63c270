"""Tree ensembles as flat arrays for any engine, read by treelite from every library it supports."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import treelite
from scipy.special import expit

from forms.form import Unsupported

LT, LE = 2, 3
"""The operators of treelite in use: a row goes left if its value is less (or equal)."""
LOCATION = re.compile(r"^\[[\d:]+\] \S+: ")
"""The source location at the start of treelite's error messages."""

LARGEST = 20_000_000
"""Nodes. A larger compiled model would take gigabytes."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Arrays with one item per node; node 0 is the root. A leaf has `left` -1."""

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    categories: dict[int, frozenset[int]]
    """The categories that go left, by categorical node."""
    outputs: tuple[int, ...]
    values: np.ndarray
    """(nodes, len(outputs)): the values that a leaf adds to the outputs."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """predictions = link(base + the sum of its leaves [÷ number of trees])."""

    trees: tuple[Tree, ...]
    features: int
    outputs: int
    is_strict: bool
    """Left is < the threshold, not ≤."""
    dtype: Any
    """The precision of thresholds, leaves and sums."""
    base: np.ndarray
    is_average: bool
    link: Callable[[np.ndarray], np.ndarray]
    """Maps (n, outputs) to the library's predictions: (n,), or (n, classes) of probabilities."""

    @property
    def categorical(self) -> dict[int, list[int]]:
        """Feature → all categories in its splits, sorted."""
        found: dict[int, set[int]] = {}
        for tree in self.trees:
            for node, left in tree.categories.items():
                found.setdefault(int(tree.feature[node]), set()).update(left)
        return {feature: sorted(known) for feature, known in sorted(found.items())}


def read(model: treelite.Model) -> Ensemble:
    """Read a treelite model. Raises Unsupported."""
    header = model.get_header_accessor()

    def text(name: str) -> str:
        value = header.get_field(name)
        return value if isinstance(value, str) else "".join(map(str, value))

    outputs = int(header.get_field("num_class")[0])
    if int(header.get_field("num_target")[0]) != 1:
        raise Unsupported("trees with several targets")
    class_of, vector = header.get_field("class_id"), header.get_field("leaf_vector_shape")
    has_vectors = int(np.prod(np.array(vector))) > 1
    is_binary_vector = has_vectors and outputs == 2
    accessors = [model.get_tree_accessor(number) for number in range(model.num_tree)]
    nodes = sum(int(each.get_field("num_nodes")[0]) for each in accessors)
    if nodes > LARGEST:
        raise Unsupported(f"{nodes:,} nodes: too large to compile")
    trees, operators = [], set()
    for number, accessor in enumerate(accessors):
        tree, found = _tree(accessor, int(class_of[number]), outputs, is_binary_vector)
        trees.append(tree)
        operators |= found
    if not operators <= {LT, LE} or len(operators) > 1:
        raise Unsupported(f"trees that compare by {sorted(operators)}")
    base = np.array(header.get_field("base_scores"), dtype=np.float64)  # a copy, as in _tree
    return Ensemble(
        trees=tuple(trees),
        features=model.num_feature,
        outputs=1 if is_binary_vector else outputs,
        is_strict=operators == {LT},
        dtype=np.float32 if model.output_type == "float32" else np.float64,
        base=base[1:] if is_binary_vector else base,
        is_average=bool(header.get_field("average_tree_output")[0]),
        link=_link(text("postprocessor"), header, is_binary_vector),
    )


def _tree(accessor: Any, class_id: int, outputs: int, is_binary_vector: bool) -> tuple[Tree, set[int]]:
    def field(name: str) -> np.ndarray:
        return np.array(accessor.get_field(name))  # a copy: treelite's is a view of a model that will be freed

    left, kinds = field("cleft").astype(np.int64), field("node_type")
    values = field("leaf_value").astype(np.float64)[:, None]
    where: tuple[int, ...] = (max(class_id, 0),)
    if (vectors := field("leaf_vector")).size:
        values = np.zeros((len(left), outputs))
        leaves = np.flatnonzero(left < 0)
        values[leaves] = vectors.reshape(len(leaves), outputs)[
            np.argsort(np.argsort(field("leaf_vector_begin")[leaves]))
        ]
        where = tuple(range(outputs))
        if is_binary_vector:  # the first is one minus the second
            values, where = values[:, 1:], (0,)
    categories: dict[int, frozenset[int]] = {}
    missing_left = field("default_left").astype(bool)
    right = field("cright").astype(np.int64)
    if field("has_categorical_split")[0]:
        known, begin, end = field("category_list"), field("category_list_begin"), field("category_list_end")
        is_right = field("category_list_right_child")
        for node in np.flatnonzero(kinds == 2):
            if is_right[node]:
                raise Unsupported("categories that are named by the right child")
            categories[int(node)] = frozenset(known[begin[node] : end[node]].tolist())
    feature, threshold = field("split_index"), field("threshold").astype(np.float64)
    tree = Tree(left, right, feature, threshold, missing_left, categories, where, values)
    return tree, set(field("cmp")[kinds == 1].tolist())


def _link(name: str, header: Any, is_binary_vector: bool) -> Callable[[np.ndarray], np.ndarray]:
    if is_binary_vector and name == "identity_multiclass":
        return lambda sums: np.concatenate([1.0 - sums, sums], axis=1)
    if name == "sigmoid":
        alpha = float(header.get_field("sigmoid_alpha")[0])
        return lambda sums: expit(sums[:, 0] if alpha == 1 else alpha * sums[:, 0])
    if name == "softmax":
        return softmax
    if name == "multiclass_ova":
        alpha = float(header.get_field("sigmoid_alpha")[0])
        return lambda sums: expit(alpha * sums)
    if name == "identity_multiclass":
        return lambda sums: sums
    if name == "identity":
        return lambda sums: sums[:, 0]
    if name == "exponential":
        return lambda sums: exponential(sums[:, 0])
    raise Unsupported(f"trees whose sum goes through {name}")


def exponential(sums: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinity, as the library returns; without the warning
        raised: np.ndarray = np.exp(sums)
    return raised


def softmax(sums: np.ndarray) -> np.ndarray:
    raised = np.exp(sums - sums.max(axis=1, keepdims=True))
    shares: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return shares


def imported(importer: Callable[[Any], treelite.Model], model: Any) -> treelite.Model:
    """Import a model into treelite. Raises Unsupported with treelite's reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importer(model)
        except (treelite.TreeliteError, NotImplementedError, ValueError, AttributeError, TypeError) as error:
            raise Unsupported(f"treelite: {LOCATION.sub('', str(error)).strip()}") from error
