"""The churn recipe and its generator; the original data only where their folder is at hand."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from examples import churn_data
from examples.churn import TABLES, recipe, snapshot_at

ORIGINAL = Path(os.environ.get("STREAMFLOW_DATA", Path(__file__).parents[4] / "shared" / "data" / "streamflow"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("churn")
    churn_data.write(folder, months=3, users=2000, seed=7, drift="sudden")
    return folder


@pytest.fixture
def data(generated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHURN_DATA_DIR", str(generated))
    return generated


def test_windows_are_the_folders_in_order(data: Path) -> None:
    assert recipe.windows() == ("month_000", "month_001", "month_002")


def test_numeric_features_are_float64_and_categorical_ones_str(data: Path) -> None:
    frame = recipe.load("month_000")
    for name in recipe.features:
        if name in recipe.categorical:
            assert frame[name].map(type).eq(str).all()
        else:
            assert frame[name].dtype == np.float64
    assert set(frame["churn_label"].unique()) == {0, 1}
    assert frame["user_id"].is_unique


def test_neither_label_nor_identity_is_a_feature() -> None:
    assert not {"churn_label", "user_id", "snapshot_at"} & set(recipe.features)


def test_a_snapshot_is_a_month_after_the_one_before() -> None:
    assert [snapshot_at(f"month_{number:03d}").isoformat()[:10] for number in (0, 1, 10)] == [
        "2022-03-01",
        "2022-04-01",
        "2023-01-01",
    ]


@pytest.mark.parametrize(
    ("time", "window"),
    [
        (datetime(2022, 3, 1, tzinfo=UTC), "month_000"),
        (datetime(2022, 3, 31, 23, 59, tzinfo=UTC), "month_000"),
        (datetime(2022, 4, 1, tzinfo=UTC), "month_001"),
        (datetime(2031, 1, 1, tzinfo=UTC), "month_002"),
    ],
)
def test_a_time_belongs_to_the_newest_snapshot_by_then(data: Path, time: datetime, window: str) -> None:
    assert recipe.window_at(time) == window


def test_a_time_before_the_first_snapshot_is_refused(data: Path) -> None:
    with pytest.raises(ValueError, match="no snapshot by 2022-02-01"):
        recipe.window_at(datetime(2022, 2, 1, tzinfo=UTC))


def test_without_a_folder_the_error_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CHURN_DATA_DIR", raising=False)
    with pytest.raises(FileNotFoundError, match=r"CHURN_DATA_DIR is not set.*examples\.churn_data"):
        recipe.windows()
    monkeypatch.setenv("CHURN_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        recipe.windows()
    monkeypatch.setenv("CHURN_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has no folder month_000"):
        recipe.windows()


def test_a_missing_table_a_missing_column_and_a_repeated_user_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (folder,) = churn_data.write(tmp_path, months=1, users=50, seed=1, drift="none")
    monkeypatch.setenv("CHURN_DATA_DIR", str(tmp_path))
    labels = pd.read_csv(folder / "labels.csv")
    pd.concat([labels, labels.head(1)]).to_csv(folder / "labels.csv", index=False)
    with pytest.raises(ValueError, match=r"labels.csv names 1 users more than once"):
        recipe.load("month_000")
    labels.assign(churn_label="maybe").to_csv(folder / "labels.csv", index=False)
    with pytest.raises(ValueError, match="churn_label holds 'maybe'"):
        recipe.load("month_000")
    labels.drop(columns="churn_label").to_csv(folder / "labels.csv", index=False)
    with pytest.raises(ValueError, match=r"labels.csv has no column 'churn_label'"):
        recipe.load("month_000")
    (folder / "labels.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels.csv is missing: a snapshot has users"):
        recipe.load("month_000")


def test_equal_arguments_give_equal_files_and_another_seed_others(generated: Path, tmp_path: Path) -> None:
    churn_data.write(tmp_path / "again", months=3, users=2000, seed=7, drift="sudden")
    churn_data.write(tmp_path / "other", months=1, users=2000, seed=8, drift="sudden")
    for table in TABLES:
        first = (generated / "month_002" / f"{table}.csv").read_bytes()
        assert (tmp_path / "again" / "month_002" / f"{table}.csv").read_bytes() == first
    first = (generated / "month_000" / "labels.csv").read_bytes()
    assert (tmp_path / "other" / "month_000" / "labels.csv").read_bytes() != first


def test_the_generator_refuses_to_mix_its_files_with_others(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        churn_data.main([str(data)])
    assert "already has month_000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("drift", "expected"),
    [("none", [0, 0, 0, 0]), ("gradual", [0, 1 / 3, 2 / 3, 1]), ("sudden", [0, 0, 1, 1])],
)
def test_drift_progresses_as_it_is_named(drift: churn_data.Drift, expected: list[float]) -> None:
    assert [churn_data.progress(month, 4, drift) for month in range(4)] == pytest.approx(expected)


def test_a_recurring_drift_is_back_where_it_began_after_a_year() -> None:
    moved = [churn_data.progress(month, 30, "recurring") for month in (0, 6, 12, 18, 24)]
    assert moved == pytest.approx([0, 1, 0, 1, 0])


def test_a_model_of_the_first_month_has_signal_and_ages_with_the_drift(data: Path) -> None:
    first, last = recipe.load("month_000"), recipe.load("month_002")
    model = recipe.train(first.head(1000))
    features = list(recipe.features)
    fresh = roc_auc_score(first["churn_label"][1000:], model.predict_proba(first[features][1000:])[:, 1])
    aged = roc_auc_score(last["churn_label"], model.predict_proba(last[features])[:, 1])
    own = recipe.train(last.head(1000))
    again = roc_auc_score(last["churn_label"][1000:], own.predict_proba(last[features][1000:])[:, 1])
    assert fresh > 0.72
    assert aged < fresh - 0.1
    assert again > aged + 0.08


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason="the StreamFlow data are not here (STREAMFLOW_DATA)")
def test_the_original_data_hold_a_drift_that_only_labels_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_DATA_DIR", str(ORIGINAL))
    first, second = recipe.load("month_000"), recipe.load("month_001")
    assert (len(first), len(second)) == (7043, 7043)
    features = list(recipe.features)
    model = recipe.train(first.head(5000))
    assert roc_auc_score(first["churn_label"][5000:], model.predict_proba(first[features][5000:])[:, 1]) > 0.8
    assert roc_auc_score(second["churn_label"], model.predict_proba(second[features])[:, 1]) < 0.55


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason="the StreamFlow data are not here (STREAMFLOW_DATA)")
def test_the_generated_tables_have_the_original_columns_and_kinds(generated: Path) -> None:
    for table in TABLES:
        original = pd.read_csv(ORIGINAL / "month_000" / f"{table}.csv")
        made = pd.read_csv(generated / "month_000" / f"{table}.csv")
        assert list(made.columns) == list(original.columns)
        assert made.dtypes.astype(str).to_dict() == original.dtypes.astype(str).to_dict()
