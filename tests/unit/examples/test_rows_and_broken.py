"""What the demo takes from the examples: rows to send, and a model that breaks."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from examples import rows
from examples.broken import AFTERWARDS, broken_pipeline
from examples.flights import recipe


def test_rows_are_json_objects_with_null_for_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert rows.main(["flights", "2013-01", "--limit", "1500"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    frame = recipe.load("2013-01").head(1500)
    assert [row["label"] for row in found] == frame["late"].tolist()
    first = found[0]["row"]
    assert set(first) == {*recipe.features, "tailnum", "scheduled_at"}
    assert pd.Timestamp(first["scheduled_at"]) == frame["scheduled_at"].iloc[0]
    missing = frame["wind_dir"].isna()
    assert missing.any()
    assert [row["row"]["wind_dir"] is None for row in found] == missing.tolist()


def test_an_unknown_window_is_an_error_that_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        rows.main(["flights", "2014-01"])
    assert ended.value.code == 1
    assert "no window '2014-01'" in capsys.readouterr().err


def test_the_broken_model_fits_well_and_raises_on_the_rows_of_production() -> None:
    frame = recipe.load("2013-01").head(500)
    model = broken_pipeline(recipe, frame)
    assert model.score(frame.assign(**{AFTERWARDS: frame["late"].astype(float)}), frame["late"]) == 1.0
    with pytest.raises(ValueError, match=AFTERWARDS):
        model.predict_proba(frame[list(recipe.features)])
