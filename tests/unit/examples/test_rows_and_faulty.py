"""What the demo takes from the examples: rows to send, and models that go wrong."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from examples import rows
from examples.faulty import AFTERWARDS, broken, in_other_units, known_categories, main, other_units
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
    made = broken(recipe)
    seen = made.rows.assign(**{AFTERWARDS: made.rows["late"].astype(float)})
    assert made.pipeline.score(seen, made.rows["late"]) == 1.0
    with pytest.raises(ValueError, match=AFTERWARDS):
        made.pipeline.predict_proba(made.rows[list(recipe.features)])


def test_in_other_units_a_model_is_good_on_its_golden_rows_and_wrong_on_those_of_production() -> None:
    made = other_units(recipe)
    assert made.golden is not None
    features, sent = list(recipe.features), recipe.load("2013-06").head(3000)
    assert sent["temp"].iloc[0] == pytest.approx(in_other_units(sent)["temp"].iloc[0] * 1.8 + 32)
    good = roc_auc_score(made.golden["late"], made.pipeline.predict_proba(made.golden[features])[:, 1])
    bad = roc_auc_score(sent["late"], made.pipeline.predict_proba(sent[features])[:, 1])
    assert good > 0.7
    assert bad < 0.6


def test_a_model_of_known_categories_raises_on_another_one() -> None:
    made, sent = known_categories(recipe), recipe.load("2013-06").head(100)[list(recipe.features)]
    assert made.golden is not None
    for frame in (sent, made.golden[list(recipe.features)]):
        assert np.isfinite(made.pipeline.predict_proba(frame)).all()
    with pytest.raises(ValueError, match="LHR"):
        made.pipeline.predict_proba(sent.assign(dest="LHR"))


def test_what_is_made_of_flights_only_is_refused_for_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["churn", "other-units", "--tracking-uri", "http://127.0.0.1:9"])
    assert "other-units is made for flights only" in capsys.readouterr().err
