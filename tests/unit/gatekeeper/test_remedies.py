"""What keeps a version from a verdict, and the line that supplies it."""

from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.policy.remedies import Shortfalls, remedies


def test_nothing_is_missing() -> None:
    assert remedies(Shortfalls("shop", 3)) == ()


@pytest.mark.parametrize(
    ("short", "what", "supply"),
    [
        ({"run": False}, "the run that logged the model", "with mlflow.start_run():"),
        ({"signature": False}, "the signature: which columns it takes", "input_example=features.head()"),
        ({"golden": False}, "golden rows: labelled rows", "gauntlet golden create shop golden.parquet --label LABEL"),
        ({"golden": False, "label": "late"}, "golden rows", "golden create shop golden.parquet --label late"),
        ({"golden": False}, "golden rows", 'mlflow.log_artifact("evaluation.parquet", "datasets")'),
        (
            {"golden_problem": "no label column 'y'"},
            "golden rows that can be used: no label column 'y'",
            "gauntlet try shop 3 --golden FILE --label COLUMN",
        ),
        ({"training_data": False, "label": "late"}, "the digest of its training data", 'targets="late"'),
        ({"code": False}, "the version of its training code", 'set_tag("mlflow.source.git.commit"'),
        ({"training_rows": False}, "which rows it was trained on", "gauntlet training-keys train.parquet"),
        ({"training_rows": False}, "which rows it was trained on", "leakage: {unknown: pass}"),
        ({"rows_needed": 12345}, "12,345 are needed", "gauntlet golden create shop more.parquet"),
        ({"not_allowed": ("a.B", "c.d")}, "the allow-list", "gates: {integrity: {allow: [a.B, c.d]}}"),
        ({"floor_missing_for": "mae"}, "a floor", "gates: {performance: {floor: {mae: VALUE}}}"),
    ],
)
def test_each_is_named_with_what_supplies_it(short: dict[str, Any], what: str, supply: str) -> None:
    (found,) = remedies(Shortfalls("shop", 3, **short))
    assert what in found.what
    assert supply in found.supply


def test_what_comes_first_is_supplied_first() -> None:
    short = Shortfalls("shop", 3, run=False, signature=False, golden=False, code=False, floor_missing_for="mae")
    assert [each.what.split(":")[0] for each in remedies(short)] == [
        "the run that logged the model",
        "the signature",
        "golden rows",
        "the version of its training code",
        "a floor",
    ]
