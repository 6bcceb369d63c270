"""Two models whose true qualities are known, and the rows on which they are compared."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from scipy.signal import lfilter

from gatekeeper.policy.statistics.estimates import Predictions


def answers(scores: np.ndarray) -> Predictions:
    return Predictions(labels=(scores >= 0.5).astype(int), scores=scores)


def ar1(random: np.random.Generator, n: int, correlation: float) -> np.ndarray:
    """Draw n steps of a process with variance 1, each correlated so much with the one before it."""
    steps = np.sqrt(1 - correlation**2) * random.normal(size=n)
    steps[0] = random.normal()
    return lfilter([1.0], [1.0, -correlation], steps)


def binormal(
    random: np.random.Generator,
    n: int,
    correlation: float,
    aucs: tuple[float, ...] = (0.75, 0.75),
    positives: float = 0.5,
    entities: np.ndarray | None = None,
    own: Callable[[], np.ndarray] | None = None,
) -> tuple[np.ndarray, list[Predictions]]:
    """Labels, and answers of models with these true AUCs: scores are normal in either class, each two so correlated.

    With `entities`, nine in ten rows of an entity have its label, and half of the variance of a model's own part is the
    same in all its rows. `own` draws a model's own part, and what decides the label, where the order of rows matters.
    """
    truth = (np.arange(n) < n * positives).astype(int)
    if entities is not None:
        labels = (random.random(entities.max() + 1) < positives).astype(int)
        truth = np.where(random.random(n) < 0.9, labels[entities], 1 - labels[entities])
    if own is not None:
        truth = (own() < NormalDist().inv_cdf(positives)).astype(int)
    common = random.normal(size=n)
    found = []
    for auc in aucs:
        part = random.normal(size=n) if own is None else own()
        if entities is not None:
            part = np.sqrt(0.5) * part + np.sqrt(0.5) * random.normal(size=entities.max() + 1)[entities]
        apart = np.sqrt(2) * NormalDist().inv_cdf(auc)
        score = apart * (truth - 0.5) + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * part
        found.append(answers(1 / (1 + np.exp(-score))))
    return truth, found
