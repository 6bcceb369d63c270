"""Models whose answer to a row depends on the rows around it: right on golden rows, wrong in production."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gatekeeper.sandbox.sandbox import Sandbox
from support.judging import Bench

N = 400
CARRIERS = ["AA", "DL", "UA", "WN"]
SIGNATURE = """\
flavors:
  python_function: {loader_module: candidate, code: code, data: data}
signature:
  inputs: '[{"type": "string", "name": "carrier", "required": true}, {"type": "double", "name": "a", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
metadata: {gauntlet: {label: late, classes: [0, 1]}}
"""


def rows() -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame({"carrier": random.choice(CARRIERS, N), "a": random.normal(size=N)})
    score = frame["carrier"].map(dict(zip(CARRIERS, (0.1, 0.3, 0.7, 0.9), strict=True)))
    frame["late"] = (random.random(N) < score).astype(int)
    return frame


def code(folder: Path, predict: str) -> None:
    (folder / "code").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / "nothing").touch()
    (folder / "MLmodel").write_text(SIGNATURE)
    lines = ["import numpy as np", "class Model:", "    def predict(self, frame):", f"        {predict}"]
    lines += ["def _load_pyfunc(path):", "    return Model()"]
    (folder / "code" / "candidate.py").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("predict", "says"),
    [
        (
            "return 0.1 + 0.8 * frame['carrier'].astype('category').cat.codes / 3",
            "rows are answered otherwise alone than in the batch of 400 (the first: 0.1 alone, ",
        ),
        (
            "return 1 / (1 + np.exp(-(frame['a'] - frame['a'].mean())))",
            "20 of 20 rows are answered otherwise alone",
        ),
        (
            "return np.squeeze(1 / (1 + np.exp(-frame[['a']].to_numpy())))",
            "expected an array of one item a row while answering single",
        ),
        ("return frame['a'].rank(pct=True) if len(frame) > 1 else 1 / 0", "ZeroDivisionError: division by zero while"),
    ],
)
def test_a_model_that_reads_the_other_rows_is_not_promoted(
    tmp_path: Path, sandbox: Sandbox, predict: str, says: str
) -> None:
    bench = Bench(tmp_path, sandbox)
    code(bench.folder("model"), predict)
    verdict = bench.verdicts("model", bench.golden(rows()))["functional"]
    assert verdict.outcome.value == "Failed" and says in verdict.reason, verdict.reason


def test_one_that_learned_its_categories_passes_with_and_without_golden_rows(tmp_path: Path, sandbox: Sandbox) -> None:
    bench = Bench(tmp_path, sandbox)
    frame = rows()
    features = frame[["a"]].astype("float32")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, frame["late"])
    bench.sklearn("model", model, features, input_example=features.head(4))
    verdict = bench.verdicts("model", bench.golden(frame))["functional"]
    assert verdict.outcome.value == "Passed" and verdict.reason.endswith("twice alike, and 20 rows alone as together")
    nothing = bench.golden(frame.assign(late=None))
    verdict = bench.verdicts("model", nothing)["functional"]
    assert verdict.outcome.value == "Passed" and verdict.reason.endswith("twice alike, and 4 rows alone as together")
