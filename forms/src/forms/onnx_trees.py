"""Trees run by ONNX Runtime: one operator, in the precision of the model's own library."""

from __future__ import annotations

from collections.abc import Callable
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
    model = _model(ensemble)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class
        raise Unsupported(f"ONNX Runtime: {error}") from error
    dtype = ensemble.dtype
    run, count = session.run, len(ensemble.trees)

    def sums(matrix: np.ndarray) -> np.ndarray:
        inputs = {"X": np.ascontiguousarray(matrix, dtype=dtype)}
        found: np.ndarray = run(["Y"], inputs)[0]
        return found / count if ensemble.is_average else found

    return sums


def _model(ensemble: Ensemble) -> bytes:
    nodes = _Nodes(ensemble)
    for output, base in enumerate(ensemble.base):
        if base:  # first, so that sums are made in the order of the model's own library
            nodes.constant(output, float(base))
    for tree in ensemble.trees:
        for place, output in enumerate(tree.outputs):
            nodes.tree(tree, output, tree.values[:, place])
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
        leaf = len(self._leaf_values)
        self._leaf_outputs.append(output)
        self._leaf_values.append(value)
        self._roots.append(len(self._features))
        self._inner(0, 0.0, 0, (leaf, 1), (leaf, 1))

    def tree(self, tree: Tree, output: int, values: np.ndarray) -> None:
        inner, leaves = np.flatnonzero(tree.left >= 0), np.flatnonzero(tree.left < 0)
        if not inner.size:
            self.constant(output, float(values[0]))
            return
        place = np.empty(len(tree.left), dtype=np.int64)
        place[inner] = len(self._features) + np.arange(len(inner))
        place[leaves] = len(self._leaf_values) + np.arange(len(leaves))
        is_leaf = (tree.left < 0).astype(np.int64)
        self._roots.append(int(place[0]))
        self._leaf_outputs += [output] * len(leaves)
        self._leaf_values += values[leaves].tolist()
        for node in inner.tolist():
            left, right = tree.left[node], tree.right[node]
            children = (int(place[left]), int(is_leaf[left])), (int(place[right]), int(is_leaf[right]))
            feature, missing = int(tree.feature[node]), int(tree.missing_left[node])
            self._inner(feature, float(tree.threshold[node]), missing, *children)

    def _inner(self, feature: int, split: float, missing: int, true: tuple[int, int], false: tuple[int, int]) -> None:
        self._features.append(feature)
        self._splits.append(split)
        self._missing_true.append(missing)
        self._true.append(true[0])
        self._true_is_leaf.append(true[1])
        self._false.append(false[0])
        self._false_is_leaf.append(false[1])

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
