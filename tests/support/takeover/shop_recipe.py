"""The recipe of the recorded story. It goes into the archive, so it needs nothing but pandas and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = ("w1", "w2", "w3", "w4", "w5", "w6")
ROWS = 500
PLANS = ("basic", "plus", "pro")


class ShopRecipe:
    """Will a customer leave? A window is a day; from w4 on customers are others, and leave for other reasons."""

    name = "shop"
    features: Sequence[str] = ("amount", "visits", "plan")
    categorical: Sequence[str] = ("plan",)
    label = "left"
    entity: str | None = "customer"
    event_time: str | None = "seen_at"

    def windows(self) -> Sequence[str]:
        return WINDOWS

    def window_at(self, time: datetime) -> str:
        return WINDOWS[(time - START).days]

    def load(self, window: str) -> pd.DataFrame:
        number = WINDOWS.index(window)
        late, random = number >= 3, np.random.default_rng(number)
        amount = random.normal(60 if late else 40, 10, ROWS).round(1)
        visits = random.poisson(9 if late else 4, ROWS).astype(float)
        plan = random.choice(PLANS, ROWS).astype(object)
        pull = (visits - 9) * 0.5 if late else (4 - visits) * 0.5
        logit = pull + (amount - (60 if late else 40)) * 0.06 + (plan == "basic")
        return pd.DataFrame(
            {
                "amount": amount,
                "visits": visits,
                "plan": plan,
                "left": (random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(int),
                "customer": [f"{window}-{index}" for index in range(ROWS)],
                "seen_at": [START + timedelta(days=number, minutes=index) for index in range(ROWS)],
            }
        )

    def train(self, frame: pd.DataFrame) -> Any:
        words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
        encode = make_column_transformer((words, ["plan"]), remainder="passthrough")
        trees = HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=6, random_state=0)
        return make_pipeline(encode, trees).fit(frame[list(self.features)], frame[self.label])


recipe = ShopRecipe()
