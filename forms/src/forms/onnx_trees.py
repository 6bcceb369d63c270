"""Tree ensembles run by ONNX Runtime: one operator, in the precision of the model's own library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pickle import PickleBuffer
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import onnxruntime
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from forms.form import Unsupported
from forms.trees import Ensemble, Tree

LEQ, LESS = 0, 1
"""Modes of the operator: ONNX operator specification, ai.onnx.ml.TreeEnsemble, version 5."""
OPSET, ML_OPSET, IR = 21, 5, 10
WHOLE = (
    "tree_roots",
    "nodes_featureids",
    "nodes_missing_value_tracks_true",
    "nodes_truenodeids",
    "nodes_trueleafs",
    "nodes_falsenodeids",
    "nodes_falseleafs",
    "leaf_targetids",
)
NUMBERS = ("nodes_splits", "leaf_weights")
CHUNK = 10_000


def runner(ensemble: Ensemble) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from the matrix (n, features) to the sums before the link (n, outputs), in the caller's thread.

    Raises Unsupported; categorical splits have to be converted to numeric ones first.
    """
    if ensemble.categorical:
        raise Unsupported("splits by category")
    if any(len(tree.outputs) > 1 for tree in ensemble.trees):
        return _by_leaf(ensemble)
    run, count = Session(_model(ensemble), ensemble.dtype), len(ensemble.trees)
    if ensemble.is_average:
        return lambda matrix: run(matrix) / count
    return run


def _by_leaf(ensemble: Ensemble) -> Callable[[np.ndarray], np.ndarray]:
    """Run trees with multi-valued leaves, which the operator lacks: it returns leaf numbers for a table lookup."""
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
    run, base, is_average = Session(_model(named), np.float64), ensemble.base, ensemble.is_average

    def sums(matrix: np.ndarray) -> np.ndarray:
        found: np.ndarray = table[run(matrix).astype(np.intp)].sum(axis=1) + base
        return found / count if is_average else found

    return sums


class Session:
    """An ONNX Runtime session in the precision `dtype`. Pickled as its model, which an unpickled session drops."""

    def __init__(self, model: bytes | memoryview, dtype: Any, *, keep: bool = True) -> None:
        """Raises Unsupported for a model that ONNX Runtime rejects."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            with _as_file(model) as path:
                self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common class
            raise Unsupported(f"ONNX Runtime: {error}") from error
        self._model = model if keep else None
        self._dtype = dtype

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        given = np.ascontiguousarray(matrix, dtype=self._dtype)
        found: np.ndarray = self._session.run(["Y"], {"X": given})[0]
        return found

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._model is None:
            raise TypeError("opened from a pickle: its model was not kept")
        return partial(Session, keep=False), (PickleBuffer(self._model), self._dtype)


@contextmanager
def _as_file(model: bytes | memoryview) -> Iterator[str]:
    """Yield the path of a temporary file: bytes would be copied while holding the GIL, a file is read without it."""
    with NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model)
        file.flush()
        yield file.name


def _model(ensemble: Ensemble) -> bytes:
    nodes = _Nodes()
    for output, base in enumerate(ensemble.base):
        if base:  # first, so that the order of summation is that of the model's own library
            nodes.constant(output, float(base))
    for tree in ensemble.trees:
        nodes.tree(tree, tree.outputs[0], tree.values[:, 0])
    kind = TensorProto.FLOAT if ensemble.dtype == np.float32 else TensorProto.DOUBLE
    graph = helper.make_graph(
        [],
        "trees",
        [helper.make_tensor_value_info("X", kind, [None, ensemble.features])],
        [helper.make_tensor_value_info("Y", kind, [None, ensemble.outputs])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR)
    operator = model.graph.node.add()
    operator.CopyFrom(helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml"))
    nodes.write(operator, ensemble.outputs, LESS if ensemble.is_strict else LEQ, ensemble.dtype)
    encoded: bytes = model.SerializeToString()
    return encoded


class _Nodes:
    """The operator's flat lists, in pieces: inner nodes of all trees are numbered together, leaves separately."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[np.ndarray]] = {name: [] for name in (*WHOLE, *NUMBERS)}
        self._inner = self._leaves = 0

    def constant(self, output: int, value: float) -> None:
        """Add a tree of one leaf: a split with identical sides."""
        leaf = {"nodeids": [self._leaves], "leafs": [1]}
        self._add(
            tree_roots=[self._inner],
            nodes_featureids=[0],
            nodes_splits=[0.0],
            nodes_missing_value_tracks_true=[0],
            leaf_targetids=[output],
            leaf_weights=[value],
            **{f"nodes_{side}{what}": value for side in ("true", "false") for what, value in leaf.items()},
        )

    def tree(self, tree: Tree, output: int, values: np.ndarray) -> None:
        is_leaf = tree.left < 0
        if is_leaf[0]:
            self.constant(output, float(values[0]))
            return
        inner = ~is_leaf
        place = np.where(is_leaf, self._leaves + np.cumsum(is_leaf) - 1, self._inner + np.cumsum(inner) - 1)
        left, right = tree.left[inner], tree.right[inner]
        self._add(
            tree_roots=place[:1],
            nodes_featureids=tree.feature[inner],
            nodes_splits=tree.threshold[inner],
            nodes_missing_value_tracks_true=tree.missing_left[inner],
            nodes_truenodeids=place[left],
            nodes_trueleafs=is_leaf[left],
            nodes_falsenodeids=place[right],
            nodes_falseleafs=is_leaf[right],
            leaf_targetids=np.full(int(is_leaf.sum()), output),
            leaf_weights=values[is_leaf],
        )

    def _add(self, **pieces: Any) -> None:
        for name, piece in pieces.items():
            self._pieces[name].append(np.asarray(piece))
        self._inner += len(pieces["nodes_featureids"])
        self._leaves += len(pieces["leaf_targetids"])

    def write(self, operator: Any, outputs: int, mode: int, dtype: Any) -> None:
        """Write the attributes of `operator`; piece by piece, so that a large forest does not block other threads."""
        single = {"n_targets": outputs, "aggregate_function": 1, "post_transform": 0}  # 1: the sum
        operator.attribute.extend([helper.make_attribute(name, value) for name, value in single.items()])
        for name in WHOLE:
            attribute = operator.attribute.add(name=name, type=AttributeProto.INTS)
            for piece in self._pieces[name]:
                for start in range(0, len(piece), CHUNK):
                    attribute.ints.extend(piece[start : start + CHUNK].astype(np.int64).tolist())
        numbers = {name: np.concatenate(self._pieces[name]).astype(dtype) for name in NUMBERS}
        numbers["nodes_modes"] = np.full(self._inner, mode, dtype=np.uint8)
        for name, values in numbers.items():
            attribute = operator.attribute.add(name=name, type=AttributeProto.TENSOR)
            attribute.t.CopyFrom(numpy_helper.from_array(values, name))
