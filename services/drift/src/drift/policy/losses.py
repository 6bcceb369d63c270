"""The loss of a prediction with its label, and whether two versions agree on a row."""

from __future__ import annotations

import math
from typing import NamedTuple

from contracts import Loss, OutputFormat, Scalar
from contracts.forecasts import pinball
from contracts.labels import BINARY, UNKNOWN, ClassLabels, canonical, is_missing, number
from contracts.losses import LossKind
from contracts.metrics import Problem
from drift.policy.predicted import predicted_class

NUMBERS_AGREE_WITHIN = 0.05
"""Two predicted numbers agree when they differ by at most this share of the larger one."""

OF_CLASSES = (LossKind.ZERO_ONE, LossKind.BRIER)


class Answer(NamedTuple):
    """The prediction of one version for one row; `score` is the probability of the positive class."""

    score: float | None
    label: Scalar


class Reader:
    """Reads the predictions of one version, as its promotion or its rollout says, and else as a row suggests."""

    def __init__(self, output: OutputFormat | None, loss: Loss | None = None) -> None:
        self._problem = output.problem if output is not None else None
        self._loss = loss
        names = output.classes if output is not None else ()
        self._binary = ClassLabels(names or BINARY)
        self._classes = ClassLabels(names)

    def loss(self, answer: Answer, truth: Scalar) -> float | None:
        """Return the loss from 0 to 1; None for a label or a prediction that cannot be read, and without a `Loss`."""
        if self._loss is None:
            return None
        problem = self._problem_of(answer)
        if self._loss.kind is LossKind.BRIER:
            raw = self._brier(answer, truth)
        elif self._loss.kind is LossKind.ZERO_ONE:
            raw = self._zero_one(answer, truth, "binary" if problem == "binary" else "multiclass")
        else:
            raw = _of_numbers(self._loss, number(answer.label), number(truth))
        return None if raw is None else min(1.0, max(0.0, raw / self._loss.scale))

    def agrees(self, answer: Answer, other: Reader, of_other: Answer) -> bool:
        """Return whether both versions predict the same class, or about the same number; nothing agrees with None."""
        if self._problem_of(answer) == "regression":
            first, second = number(answer.label), number(of_other.label)
            if first is not None and second is not None:
                return math.isclose(first, second, rel_tol=NUMBERS_AGREE_WITHIN, abs_tol=1e-12)
        name, of_name = self._class_name(answer), other._class_name(of_other)
        if name is None or of_name is None:
            return False
        return canonical(name) == canonical(of_name) or ClassLabels((name,)).number(of_name) != UNKNOWN

    def _problem_of(self, answer: Answer) -> Problem:
        if self._problem is not None:
            return self._problem
        if answer.score is not None:
            return "binary"
        if self._loss is not None and self._loss.kind not in OF_CLASSES:
            return "regression"
        is_number = isinstance(answer.label, float) and not answer.label.is_integer()
        return "regression" if self._loss is None and is_number else "multiclass"

    def _brier(self, answer: Answer, truth: Scalar) -> float | None:
        true = self._binary.number(truth)
        if true == UNKNOWN or answer.score is None:
            return None
        return (min(1.0, max(0.0, answer.score)) - true) ** 2

    def _zero_one(self, answer: Answer, truth: Scalar, problem: Problem) -> float | None:
        known = self._binary if problem == "binary" else self._classes.with_others((truth,))
        true, said = known.number(truth), predicted_class(answer.score, answer.label, known, problem)
        return None if true == UNKNOWN or said is None else float(said != true)

    def _class_name(self, answer: Answer) -> Scalar:
        if self._problem_of(answer) == "binary":
            said = predicted_class(answer.score, answer.label, self._binary, "binary")
            if said is not None and said != UNKNOWN and said < len(self._binary.names):
                name: Scalar = self._binary.names[said]
                return name
        return None if is_missing(answer.label) else canonical(answer.label)


def _of_numbers(loss: Loss, said: float | None, true: float | None) -> float | None:
    if said is None or true is None:
        return None
    away = abs(said - true)
    if loss.kind is LossKind.ABSOLUTE:
        return away
    if loss.kind is LossKind.SQUARED:
        return away * away
    if loss.kind is LossKind.PERCENTAGE:
        return away / abs(true) if true else (math.inf if away else 0.0)
    return None if loss.quantile is None else float(pinball(true, said, loss.quantile))
