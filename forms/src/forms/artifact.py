"""The serving artifact of a version: its compiled model, and some golden rows with the predictions that were judged.

A folder separate from the model, which stays unchanged. Serving loads the compiled model instead of compiling again,
and compares the model's predictions there with those recorded at the gate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORM, ANSWERS = "form", "answers.json"
KEYS = {"rows", "answers"}
"""Of ANSWERS; a new key needs a rule for older readers."""
TOLERANCE = 1e-6
"""Between two machines, relative above 1 and absolute below: the order of summation may differ."""


@dataclass(frozen=True, slots=True)
class RecordedPredictions:
    """`rows` as in a request; `answers`: one prediction per row, a score, the scores of all classes, or a label."""

    rows: Sequence[dict[str, Any]]
    answers: Sequence[Any]

    def only(self, count: int) -> RecordedPredictions:
        """Return the first `count` rows."""
        return RecordedPredictions(self.rows[:count], self.answers[:count])

    def is_comparable(self, found: Sequence[Any]) -> bool:
        """Whether the shapes agree: a classifier may return one score per row, or one per class."""
        return np.shape(self.answers) == np.shape(found)

    def differing(self, found: Sequence[Any]) -> int | None:
        """Return the first row whose prediction differs; None if all agree, or are not comparable."""
        if not self.is_comparable(found):
            return None
        theirs, ours = np.asarray(self.answers), np.asarray(found)
        if theirs.dtype.kind in "fiub" and ours.dtype.kind in "fiub":
            theirs, ours = theirs.astype(np.float64), ours.astype(np.float64)
            alike = np.isclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        else:
            texts = [[str(answer) for answer in answers] for answers in (self.answers, found)]
            alike = np.array(texts[0], dtype=object) == np.array(texts[1], dtype=object)
        differ = np.flatnonzero(~alike.reshape(len(theirs), -1).all(axis=1))
        return int(differ[0]) if differ.size else None


@dataclass(frozen=True, slots=True)
class ServingArtifact:
    """`form`: the output of `forms.dumps`, if there is a compiled model; opened only when needed."""

    form: bytes | None
    recorded: RecordedPredictions | None

    def write(self, folder: Path) -> None:
        """Write into an empty folder."""
        if self.form is not None:
            (folder / FORM).write_bytes(self.form)
        if self.recorded is not None:
            content = {"rows": self.recorded.rows, "answers": self.recorded.answers}
            (folder / ANSWERS).write_text(json.dumps(content))


def read(folder: Path) -> ServingArtifact:
    """Read a folder. Raises OSError, and ValueError if it is not a serving artifact."""
    form, answers = folder / FORM, folder / ANSWERS
    recorded = None
    if answers.exists():
        content = json.loads(answers.read_text())
        if not isinstance(content, dict) or content.keys() != KEYS:
            found = sorted(content) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"{ANSWERS} holds {found}, not {sorted(KEYS)}: another version wrote it")
        try:
            recorded = RecordedPredictions(list(content["rows"]), list(content["answers"]))
        except TypeError as error:
            raise ValueError(f"{ANSWERS} holds no rows and answers: {error}") from error
        if not recorded.rows or len(recorded.rows) != len(recorded.answers):
            raise ValueError(f"{ANSWERS} holds {len(recorded.rows)} rows and {len(recorded.answers)} answers")
    return ServingArtifact(form.read_bytes() if form.exists() else None, recorded)
