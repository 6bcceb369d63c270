"""Churn: will a subscriber of StreamFlow leave? Six tables joined on `user_id`, one folder a monthly snapshot."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

DATA_DIR_VARIABLE = "CHURN_DATA_DIR"
FIRST_SNAPSHOT = (2022, 3)
"""The month of month_000. The data's sign-ups end on 6 February 2022: the first snapshot after them is 1 March."""

USER = "user_id"
TABLES: dict[str, tuple[str, ...]] = {
    "users": ("user_gender", "user_is_senior", "has_family", "has_dependents"),
    "subscriptions": (
        "months_active",
        "plan_stream_tv",
        "plan_stream_movies",
        "contract_type",
        "paperless_billing",
        "monthly_fee",
        "total_paid",
        "net_service",
    ),
    "usage_agg_30d": (
        "watch_hours_30d",
        "avg_session_mins_7d",
        "unique_devices_30d",
        "skips_7d",
        "rebuffer_events_7d",
    ),
    "payments_agg_90d": ("failed_payments_90d",),
    "support_agg_90d": ("support_tickets_90d", "ticket_avg_resolution_hrs_90d"),
    "labels": ("churn_label",),
}
CATEGORICAL = (
    "user_gender",
    "user_is_senior",
    "has_family",
    "has_dependents",
    "plan_stream_tv",
    "plan_stream_movies",
    "contract_type",
    "paperless_billing",
    "net_service",
)
NUMERIC = tuple(
    column for table, columns in TABLES.items() if table != "labels" for column in columns if column not in CATEGORICAL
)
WINDOW = re.compile(r"month_(\d{3})")


class ChurnRecipe:
    """Subscribers by monthly snapshot; a subscriber is an entity, the same in every snapshot."""

    name = "churn"
    features: Sequence[str] = (*NUMERIC, *CATEGORICAL)
    categorical: Sequence[str] = CATEGORICAL
    label = "churn_label"
    entity = USER
    event_time = "snapshot_at"

    def windows(self) -> Sequence[str]:
        """Return the snapshots' folders, oldest first. Raises FileNotFoundError with instructions if there is none."""
        folder = data_folder()
        found = sorted(path.name for path in folder.iterdir() if path.is_dir() and WINDOW.fullmatch(path.name))
        if not found:
            raise FileNotFoundError(f"{DATA_DIR_VARIABLE}={folder} has no folder month_000, month_001, …: {_ADVICE}")
        return tuple(found)

    def window_at(self, time: datetime) -> str:
        """Return the newest snapshot at `time` (aware). Raises ValueError before the first one."""
        if time.tzinfo is None:
            raise ValueError(f"the time {time.isoformat()} has no time zone; specify one, for example +00:00")
        taken = [window for window in self.windows() if snapshot_at(window) <= time]
        if not taken:
            first = self.windows()[0]
            raise ValueError(f"no snapshot by {time.isoformat()}: the first, {first}, is of {snapshot_at(first)}")
        return taken[-1]

    def load(self, window: str) -> pd.DataFrame:
        """Load the subscribers of one snapshot that are in all six tables, in the order of `users`."""
        if window not in self.windows():
            raise ValueError(f"no window {window!r} in {data_folder()}: there are {', '.join(self.windows())}")
        frame: pd.DataFrame | None = None
        for table, columns in TABLES.items():
            rows = _table(data_folder() / window / f"{table}.csv", columns)
            frame = rows if frame is None else frame.merge(rows, on=USER, how="inner", validate="one_to_one")
        assert frame is not None
        frame[list(NUMERIC)] = frame[list(NUMERIC)].astype("float64")
        for column in CATEGORICAL:
            # Without an internet line there is no streaming plan: the cell is empty, which is a category.
            frame[column] = frame[column].map(lambda value: "none" if pd.isna(value) else str(value)).astype(object)
        frame["churn_label"] = _label(frame["churn_label"], window)
        frame["snapshot_at"] = pd.Timestamp(snapshot_at(window))
        return frame

    def train(self, frame: pd.DataFrame) -> Pipeline:
        """Train logistic regression: better than boosted trees here (examples/churn.md), a hundredth of their size."""
        numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
        words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        columns = ColumnTransformer([("number", numbers, list(NUMERIC)), ("word", words, list(CATEGORICAL))])
        model = Pipeline([("columns", columns), ("regression", LogisticRegression(max_iter=1000))])
        return model.fit(frame[list(self.features)], frame[self.label])


recipe = ChurnRecipe()

_ADVICE = "name a folder of the StreamFlow schema, or make one with `python -m examples.churn_data FOLDER`"


def data_folder() -> Path:
    """Return the snapshots' folder from the environment. Raises FileNotFoundError with instructions if absent."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    if not named:
        raise FileNotFoundError(f"{DATA_DIR_VARIABLE} is not set: {_ADVICE}")
    folder = Path(named)
    if not folder.is_dir():
        raise FileNotFoundError(f"{DATA_DIR_VARIABLE}={named} is not a folder: {_ADVICE}")
    return folder


def snapshot_at(window: str) -> datetime:
    """Return the time of a snapshot: month_000 is 1 March 2022, each later one is a month later."""
    named = WINDOW.fullmatch(window)
    if named is None:
        raise ValueError(f"{window!r} is not the name of a snapshot, such as month_000")
    year, month = FIRST_SNAPSHOT
    later = month - 1 + int(named.group(1))
    return datetime(year + later // 12, later % 12 + 1, 1, tzinfo=UTC)


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype={USER: str})
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing: a snapshot has {', '.join(TABLES)} (.csv)") from error
    if missing := [name for name in (USER, *columns) if name not in rows.columns]:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(rows.columns)}")
    if repeated := int(rows[USER].duplicated().sum()):
        raise ValueError(f"{path} names {repeated} users more than once: a snapshot has one row a user")
    return rows[[USER, *columns]]


def _label(values: pd.Series, window: str) -> pd.Series:
    words = values.astype(str).str.lower().map({"true": 1, "false": 0, "1": 1, "0": 0, "1.0": 1, "0.0": 0})
    if words.isna().any():
        raise ValueError(f"{window}: churn_label holds {values[words.isna()].iloc[0]!r}; only True and False are valid")
    return words.astype(np.int64)
