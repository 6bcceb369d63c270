"""The version of each row, in an answer that a rollout has divided between two versions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from serving.inference.prediction import Prediction
from serving.loading.model_state import ActiveVersion

LONGEST_HEADER = 2000
"""Characters. Proxies refuse answers with longer headers, often of 4 or 8 kB in all."""


def versions_of_rows(prediction: Prediction) -> Sequence[int] | None:
    """Return the version that predicted each row; None unless a rollout divides the model's requests."""
    return None if prediction.tried is None else prediction.tried.answered_by


def version_of(active: ActiveVersion, prediction: Prediction) -> int:
    """Return the version that predicted the rows; of a request that was divided, the champion's."""
    champion = active.desired.artifact.model_version
    versions = versions_of_rows(prediction)
    if versions is None or versions[0] == champion or any(version != versions[0] for version in versions):
        return champion
    return versions[0]


def in_words(versions: Sequence[int]) -> str:
    """Return the versions in the order of the rows, where repeated with their number: `3, 4*2, 3`."""
    runs = [(version, len(list(rows))) for version, rows in groupby(versions)]
    return ", ".join(str(version) if number == 1 else f"{version}*{number}" for version, number in runs)
