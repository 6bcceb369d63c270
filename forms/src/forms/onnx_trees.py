"""Trees run by ONNX Runtime: one operator, in the precision of the model's own library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from forms.form import Unsupported
from forms.trees import Ensemble, Tree

LEQ, LESS = 0, 1
"""Modes of the operator: ONNX operator specification, ai.onnx.ml.TreeEnsemble, version 5."""
OPSET, ML_OPSET, IR = 21, 5, 10


def runner(ensemble: Ensemble) -> Callable[[np.ndarray], np.ndarray]:
    """From the matrix (n, features) to (n, outputs), the sum before the link. One thread, the caller's.

    Raises Unsupported; splits by category have to be made splits by number before.
    """
    if ensemble.categorical:
        raise Unsupported("splits by category")
    if any(len(tree.outputs) > 1 for tree in ensemble.trees):
        return _by_leaf(ensemble)
    run, count = _session(_model(ensemble), ensemble.dtype), len(ensemble.trees)
    if ensemble.is_average:
        return lambda matrix: run(matrix) / count
    return run


def _by_leaf(ensemble: Ensemble) -> Callable[[np.ndarray], np.ndarray]:
    """Of leaves of several values, which the operator has not: it says which leaf, and the values are looked up."""
    if ensemble.dtype != np.float64:
        raise Unsupported("leaves of several values in single precision")
    values, numbered, known = [], [], 0
    for number, tree in enumerate(ensemble.trees):
        leaves = tree.left < 0
        values.append(tree.values[leaves])
        names = np.zeros((len(leaves), 1))
        names[leaves, 0] = known + np.arange(int(leaves.sum()))
        numbered.append(replace(tree, outputs=(number,), values=names))
        known += int(leaves.sum())
    table, count = np.concatenate(values), len(numbered)
    named = replace(ensemble, trees=tuple(numbered), outputs=count, base=np.zeros(count))
    run, base = _session(_model(named), np.float64), ensemble.base

    def sums(matrix: np.ndarray) -> np.ndarray:
        found: np.ndarray = table[run(matrix).astype(np.intp)].sum(axis=1) + base
        return found / count if ensemble.is_average else found

    return sums


def _session(model: bytes, dtype: Any) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class
        raise Unsupported(f"ONNX Runtime: {error}") from error

    def run(matrix: np.ndarray) -> np.ndarray:
        found: np.ndarray = session.run(["Y"], {"X": np.ascontiguousarray(matrix, dtype=dtype)})[0]
        return found

    return run


def _model(ensemble: Ensemble) -> bytes:
    nodes = _Nodes(ensemble)
    for output, base in enumerate(ensemble.base):
        if base:  # first, so that sums are made in the order of the model's own library
            nodes.constant(output, float(base))
    for tree in ensemble.trees:
        nodes.tree(tree, tree.outputs[0], tree.values[:, 0])
    kind = TensorProto.FLOAT if ensemble.dtype == np.float32 else TensorProto.DOUBLE
    operator = helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", **nodes.attributes(kind))
    graph = helper.make_graph(
        [operator],
        "trees",
        [helper.make_tensor_value_info("X", kind, [None, ensemble.features])],
        [helper.make_tensor_value_info("Y", kind, [None, ensemble.outputs])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    encoded: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=IR).SerializeToString()
    return encoded


class _Nodes:
    """The operator's flat lists: inner nodes of all trees in one numbering, leaves in another."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._mode = LESS if ensemble.is_strict else LEQ
        self._outputs = ensemble.outputs
        self._roots: list[int] = []
        self._features: list[int] = []
        self._splits: list[float] = []
        self._missing_true: list[int] = []
        self._true: list[int] = []
        self._true_is_leaf: list[int] = []
        self._false: list[int] = []
        self._false_is_leaf: list[int] = []
        self._leaf_outputs: list[int] = []
        self._leaf_values: list[float] = []

    def constant(self, output: int, value: float) -> None:
        """A tree of one leaf: a split whose sides are the same."""
        leaf = [len(self._leaf_values)]
        self._roots.append(len(self._features))
        self._leaf_outputs.append(output)
        self._leaf_values.append(value)
        self._inner([0], [0.0], [0], (leaf, [1]), (leaf, [1]))

    def tree(self, tree: Tree, output: int, values: np.ndarray) -> None:
        is_leaf = tree.left < 0
        if is_leaf[0]:
            self.constant(output, float(values[0]))
            return
        inner = ~is_leaf
        place = np.where(
            is_leaf, len(self._leaf_values) + np.cumsum(is_leaf) - 1, len(self._features) + np.cumsum(inner) - 1
        )
        self._roots.append(int(place[0]))
        self._leaf_outputs += [output] * int(is_leaf.sum())
        self._leaf_values += values[is_leaf].tolist()
        left, right = tree.left[inner], tree.right[inner]
        self._inner(
            tree.feature[inner].tolist(),
            tree.threshold[inner].tolist(),
            tree.missing_left[inner].astype(np.int64).tolist(),
            (place[left].tolist(), is_leaf[left].astype(np.int64).tolist()),
            (place[right].tolist(), is_leaf[right].astype(np.int64).tolist()),
        )

    def _inner(
        self,
        features: list[int],
        splits: list[float],
        missing: list[int],
        true: tuple[list[int], list[int]],
        false: tuple[list[int], list[int]],
    ) -> None:
        self._features += features
        self._splits += splits
        self._missing_true += missing
        self._true += true[0]
        self._true_is_leaf += true[1]
        self._false += false[0]
        self._false_is_leaf += false[1]

    def attributes(self, kind: int) -> dict[str, Any]:
        def tensor(name: str, values: list[Any], of: int = kind) -> Any:
            return helper.make_tensor(name, of, [len(values)], values)

        return {
            "n_targets": self._outputs,
            "aggregate_function": 1,  # the sum
            "post_transform": 0,
            "tree_roots": self._roots,
            "nodes_featureids": self._features,
            "nodes_modes": tensor("nodes_modes", [self._mode] * len(self._features), TensorProto.UINT8),
            "nodes_splits": tensor("nodes_splits", self._splits),
            "nodes_missing_value_tracks_true": self._missing_true,
            "nodes_truenodeids": self._true,
            "nodes_trueleafs": self._true_is_leaf,
            "nodes_falsenodeids": self._false,
            "nodes_falseleafs": self._false_is_leaf,
            "leaf_targetids": self._leaf_outputs,
            "leaf_weights": tensor("leaf_weights", self._leaf_values),
        }
