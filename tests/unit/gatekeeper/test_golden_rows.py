"""Golden rows: which column is the label, which rows are used, what each model is shown."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chassis.mlmodel import MLmodel
from contracts.policy import ModelPolicy
from gatekeeper.evaluation import golden_rows
from gatekeeper.evaluation.golden_rows import GoldenSource, Unusable, chosen_rows
from gatekeeper.policy.predictions import aligned, as_answers, number_of

FRAME = pd.DataFrame(
    {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, 6.0, 7.0, 8.0], "late": [0, 1, 0, 1], "who": list("wxyz"), "at": range(4)}
)
ROLES = {"label": "late", "entity": "who", "event_time": "at"}
SOURCE = GoldenSource("a test")
NAMED = MLmodel(True, inputs=("b", "a"), classes=(0, 1), roles=ROLES)


WRITTEN_IN_STONE = [2, 4, 6, 8, 18]


def policy(**changes):
    return ModelPolicy.model_validate({"model": "m", **changes})


def read(tmp_path, frame=FRAME, model=NAMED, **changes):
    frame.to_parquet(tmp_path / "golden.parquet", index=False)
    return golden_rows.read(tmp_path / "golden.parquet", model, policy(**changes), SOURCE)


def test_a_model_is_shown_the_columns_of_its_signature_in_its_order(tmp_path):
    rows = read(tmp_path)
    assert list(rows.features_for(NAMED)) == ["b", "a"]
    assert rows.truth.tolist() == [0, 1, 0, 1]


def test_a_signature_without_names_is_shown_all_features_and_nothing_else(tmp_path):
    assert list(read(tmp_path).features_for(MLmodel(True))) == ["a", "b"]


def test_no_model_is_shown_the_label(tmp_path):
    peeking = MLmodel(True, inputs=("a", "late"), classes=(0, 1), roles=ROLES)
    assert list(read(tmp_path, model=peeking).features_for(peeking)) == ["a"]


def test_the_label_may_be_named_by_the_file(tmp_path):
    table = pa.Table.from_pandas(FRAME).replace_schema_metadata({"gauntlet": json.dumps(ROLES)})
    pq.write_table(table, tmp_path / "golden.parquet")
    rows = golden_rows.read(tmp_path / "golden.parquet", MLmodel(True, inputs=("a",)), policy(), SOURCE)
    assert (rows.label, rows.truth.tolist()) == ("late", [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("policy_s", "model_s", "dataset_s", "label"),
    [
        ("late", "a", "b", "late"),
        (None, "late", None, "late"),
        (None, None, "late", "late"),
        (None, "late", "late", "late"),
        (None, "gone", "late", "late"),  # a name that the rows do not have is no choice
    ],
)
def test_the_label_is_named_by_the_policy_then_by_the_model_and_the_dataset(
    tmp_path, policy_s, model_s, dataset_s, label
):
    FRAME.to_parquet(tmp_path / "golden.parquet")
    model = MLmodel(True, inputs=("a",), roles={"label": model_s} if model_s else {})
    source = GoldenSource("a test", {"label": dataset_s} if dataset_s else {})
    rows = golden_rows.read(tmp_path / "golden.parquet", model, policy(label=policy_s), source)
    assert (rows.label, rows.truth.tolist()) == (label, [0, 1, 0, 1])


@pytest.mark.parametrize("role", ["label", "entity", "event_time"])
def test_a_model_may_not_name_another_column_than_the_dataset(tmp_path, role):
    """Or a candidate would choose the label that it is judged on, or rows that are fewer entities."""
    FRAME.to_parquet(tmp_path / "golden.parquet")
    source = GoldenSource("a test", {role: "b"})
    with pytest.raises(Unusable, match=f"metadata names '{ROLES[role]}' as .*, the golden dataset 'b'"):
        golden_rows.read(tmp_path / "golden.parquet", NAMED, policy(), source)


@pytest.mark.parametrize("index", ["late", "who", "at", "a", ["who", "a"]])
def test_a_column_in_the_index_of_the_file_is_a_column(tmp_path, index):
    """As `frame.set_index("who").to_parquet(…)` writes it: an entity there, unread, made bounds too narrow."""
    FRAME.to_parquet(tmp_path / "plain.parquet", index=False)
    FRAME.set_index(index).to_parquet(tmp_path / "indexed.parquet")
    plain, indexed = (
        golden_rows.read(tmp_path / f"{name}.parquet", NAMED, policy(entity="who"), SOURCE)
        for name in ("plain", "indexed")
    )
    assert indexed.truth.tolist() == plain.truth.tolist()
    assert indexed.entities.tolist() == plain.entities.tolist() == [0, 1, 2, 3]
    assert indexed.until == plain.until
    pd.testing.assert_frame_equal(indexed.features_for(NAMED), plain.features_for(NAMED))


def test_evidence_of_before_is_read_as_it_was_then(tmp_path):
    """Its verdicts rest on rows without the columns of an index; the policy's entity was passed over."""
    FRAME.set_index("who").to_parquet(tmp_path / "golden.parquet")
    rows = golden_rows.read(tmp_path / "golden.parquet", NAMED, policy(entity="who"), None)
    assert rows.entities is None and list(rows.rows) == ["a", "b", "at"]


def test_the_label_is_the_one_column_that_is_left(tmp_path):
    assert read(tmp_path, FRAME[["a", "b", "late"]], MLmodel(True, inputs=("a", "b"))).label == "late"


def test_rows_without_a_label_are_left_out_and_counted(tmp_path):
    rows = read(tmp_path, FRAME.assign(late=[0, None, 0, 1]))
    assert (rows.truth.tolist(), rows.found, rows.unlabelled) == ([0, 0, 1], 4, 1)
    assert rows.rows["a"].tolist() == [1.0, 3.0, 4.0]


def test_too_many_rows_are_thinned_out_always_alike(tmp_path):
    frame = pd.DataFrame({"a": np.arange(1000.0), "b": 0.0, "late": np.arange(1000) % 2, "who": "x"})
    first, second = (read(tmp_path, frame, golden={"max_rows": 300}) for _ in range(2))
    assert first.rows["a"].tolist() == second.rows["a"].tolist()
    assert len(first.truth) == 300 and 0.4 < first.truth.mean() < 0.6
    assert first.rows["a"].iloc[-1] > 950


def test_no_row_is_chosen_twice_and_the_choice_is_written_in_stone():
    for n, most in ((10, 10), (10, 3), (20_001, 20_000), (0, 5)):
        chosen = chosen_rows(n, most).tolist()
        assert len(set(chosen)) == min(n, most) and chosen == sorted(chosen) and max(chosen, default=-1) < n
    assert chosen_rows(20, 5).tolist() == WRITTEN_IN_STONE


@pytest.mark.parametrize(
    ("frame", "model", "changes", "says"),
    [
        (FRAME.drop(columns="late"), NAMED, {}, "no label column 'late'"),
        (FRAME, MLmodel(True), {}, "label column is unknown: neither the policy (label:), the model's metadata"),
        (FRAME, MLmodel(True), {}, "gauntlet golden create m FILE --label COLUMN"),
        (FRAME, NAMED, {"label": "delay"}, "no label column 'delay', which the policy names (columns: a, b, late, who"),
        (FRAME, NAMED, {"entity": "plane"}, "no entity column 'plane', which the policy names (columns: a, b, late"),
        (FRAME.drop(columns="who"), NAMED, {}, "no entity column 'who', which the model's metadata names"),
        (FRAME.assign(late=None), NAMED, {}, "no labelled rows"),
        (FRAME.assign(late=[0, 1, 2, 1]), NAMED, {}, "holds 2, which is none of [0, 1]"),
        (FRAME, MLmodel(True, ("a",), (0, 1, 2), ROLES), {"problem": "binary"}, "names 3 classes"),
        (
            FRAME.assign(late=["1", "x", "2", "3"]),
            NAMED,
            {"problem": "regression", "metric": "mae"},
            "holds 'x', which is no finite number",
        ),
    ],
)
def test_rows_that_cannot_be_used_say_why(tmp_path, frame, model, changes, says):
    with pytest.raises(Unusable) as caught:
        read(tmp_path, frame, model, **changes)
    assert says in str(caught.value)


def test_a_file_that_is_no_parquet_says_so(tmp_path):
    (tmp_path / "golden.parquet").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(Unusable, match="no readable Parquet"):
        golden_rows.read(tmp_path / "golden.parquet", NAMED, policy(), SOURCE)


def test_classes_are_the_same_whatever_type_they_come_in():
    values = np.array([True, 1, 1.0, "1", 0, "no"], dtype=object)
    assert number_of(values, (0, 1)).tolist() == [1, 1, 1, 1, 0, -1]


@pytest.mark.parametrize(
    ("values", "problem", "classes", "labels", "has_scores"),
    [
        (np.array([0.2, 0.7]), "binary", (0, 1), [0, 1], True),
        (np.array([0.2, 0.7]), "regression", None, [0.2, 0.7], False),
        (np.array([[0.1, 0.9, 0.0], [0.5, 0.2, 0.3]]), "multiclass", ("x", "y", "z"), [1, 0], True),
        (np.array(["y", "?"]), "multiclass", ("x", "y"), [1, -1], False),
        (np.array([1.0, 2.0]), "multiclass", (1, 2), [0, 1], False),
    ],
)
def test_what_leaves_the_sandbox_becomes_class_numbers(values, problem, classes, labels, has_scores):
    answers = as_answers(values, problem, classes)
    assert answers.labels.tolist() == labels
    assert (answers.scores is not None) is has_scores


def test_a_champion_with_its_classes_in_another_order_is_aligned():
    scores = np.array([[0.1, 0.6, 0.3]])
    assert aligned(scores, "multiclass", ("x", "y", "z"), ("z", "x", "y", "new")).tolist() == [[0.3, 0.1, 0.6, 0.0]]
    assert aligned(np.array([0.2]), "binary", (1, 0), (0, 1)).tolist() == [0.8]
    assert aligned(np.array([0.2]), "binary", (0, 1), (0.0, 1.0)).tolist() == [0.2]
    with pytest.raises(ValueError, match="its classes are"):
        aligned(np.array([0.2]), "binary", ("no", "yes"), (0, 1))


def test_features_come_in_the_types_of_the_signature(tmp_path):
    """A signature of int32 and float32, and golden rows of int64 with gaps, as Spark and pandas write them."""
    model = MLmodel(True, inputs=("b", "a"), kinds=("integer", "float"), classes=(0, 1), roles=ROLES)
    rows = read(tmp_path, FRAME.assign(a=pd.array([1, None, 3, 4], dtype="Int64")), model)
    features = rows.features_for(model)
    assert features.dtypes.astype(str).to_dict() == {"b": "int32", "a": "float32"}
    assert rows.rows["b"].dtype == np.float64, "what is no feature of this model stays"


@pytest.mark.parametrize(
    ("frame", "model", "says"),
    [
        (FRAME.assign(b=[5, 6, 7, 2**40]), {}, "do not fit the model's signature: column 'b' holds 1099511627776"),
        (FRAME.drop(columns="a"), {}, "have no column 'a', which the model's signature requires (columns: b, who, at)"),
        (FRAME.drop(columns="a"), {"optional": ("a",)}, None),
    ],
)
def test_features_that_do_not_fit_are_named(tmp_path, frame, model, says):
    model = MLmodel(True, inputs=("b", "a"), kinds=("integer", "double"), classes=(0, 1), roles=ROLES, **model)
    rows = read(tmp_path, frame, model)
    if says is None:
        assert list(rows.features_for(model)) == ["b"]
        return
    with pytest.raises(Unusable) as caught:
        rows.features_for(model)
    assert says in str(caught.value)
