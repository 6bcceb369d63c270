"""A form that was proven is kept as bytes, and answers the same to the last bit where it is opened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from forms import CompilationResult, ParityReport, VersionMismatch, candidates, dumps, loads
from forms.artifact import ANSWERS, read
from support.form_models import COLUMNS, amounts, coded, dense, piped, sides, table, thirds, to_rows

MODELS = {
    "linear": (piped(dense(), Ridge()), amounts, "predict"),
    "logistic": (piped(dense(), LogisticRegression(max_iter=500)), sides, "predict_proba"),
    "labels": (piped(coded(), HistGradientBoostingClassifier(max_iter=5)), sides, "predict"),
    "categories": (
        piped(coded(), HistGradientBoostingClassifier(categorical_features=[0, 1, 2], max_iter=5)),
        sides,
        "predict_proba",
    ),
    "classes": (piped(dense(), RandomForestClassifier(5)), thirds, "predict_proba"),
    "boosting": (piped(dense(), GradientBoostingRegressor(n_estimators=5)), amounts, "predict"),
}
OPEN = """
import sys, numpy as np
from pathlib import Path
from forms import loads
folder = Path(sys.argv[1])
rows = eval((folder / "rows").read_text(), {"nan": float("nan")})
np.save(folder / "again.npy", loads((folder / "form").read_bytes()).form.predict(rows))
"""


def choices(name: str) -> tuple[list[CompilationResult], Any]:
    model, target, method = MODELS[name]
    frame = table(400)
    found, _ = candidates(model.fit(frame, target(frame)), COLUMNS, method)
    return [CompilationResult(form, ParityReport(form.name, 1, 0, 0.0, 1e-6)) for form in found], to_rows(frame)


@pytest.mark.parametrize("name", MODELS)
def test_every_compiled_form_answers_the_same_when_it_is_opened_again(name: str) -> None:
    found, rows = choices(name)
    kept = [(choice, dumps(choice)) for choice in found]
    assert [choice.name for choice, data in kept if data is None] == ["numpy+sklearn"], "it holds the model itself"
    for choice, data in kept:
        if data is not None and choice.form is not None:
            again = loads(data)
            assert again.form is not None and again.about() == choice.about()
            for some in (rows, rows[:1]):
                assert np.array_equal(again.form.predict(some), choice.form.predict(some)), choice.name


def test_another_process_opens_it(tmp_path: Path) -> None:
    (choice, *_), rows = choices("categories")
    data = dumps(choice)
    assert data is not None and choice.form is not None
    (tmp_path / "form").write_bytes(data)
    (tmp_path / "rows").write_text(repr(rows))
    subprocess.run([sys.executable, "-c", OPEN, str(tmp_path)], check=True, timeout=120)
    assert np.array_equal(np.load(tmp_path / "again.npy"), choice.form.predict(rows))


def test_what_other_libraries_have_made_is_not_opened() -> None:
    (choice, *_), _ = choices("linear")
    data = dumps(choice)
    assert data is not None
    older = data.replace(b'"format": 2', b'"format": 1', 1)
    with pytest.raises(VersionMismatch, match="format 1, here 2"):
        loads(older)


def test_what_is_served_as_it_is_is_not_kept() -> None:
    assert dumps(CompilationResult()) is None
    frame = table(100)
    model = piped(dense(), KNeighborsClassifier()).fit(frame, sides(frame))
    found, _ = candidates(model, COLUMNS, "predict_proba")
    assert [dumps(CompilationResult(form)) for form in found] == [None]


def test_what_a_pickle_has_opened_does_not_hold_the_bytes_that_it_came_from() -> None:
    (choice, *_), _ = choices("boosting")
    data = dumps(choice)
    assert data is not None and choice.name == "onnxruntime"
    with pytest.raises(TypeError, match="not kept"):
        dumps(loads(data))


def test_bytes_that_are_no_form_are_an_error_of_whoever_opens_them() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        loads(b"no form\nat all")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"rows": [{"a": 1}], "scores": [0.5]}, r"holds \['rows', 'scores'\], not"),
        ({"rows": [{"a": 1}], "answers": [0.5], "tolerance": 1}, "another version wrote it"),
        ([1], "holds list"),
        ({"rows": 3, "answers": [0.5]}, "no rows and answers"),
        ({"rows": [], "answers": []}, "0 rows and 0 answers"),
    ],
)
def test_recorded_answers_of_another_shape_are_refused(tmp_path: Path, content: Any, says: str) -> None:
    (tmp_path / ANSWERS).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=says):
        read(tmp_path)
