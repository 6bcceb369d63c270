"""Recipes that train in milliseconds, or misbehave. TINY_LOG: a line a training; TINY_GATE: trainings wait for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

START = datetime(2024, 1, 1, tzinfo=UTC)
WINDOWS = tuple(f"w{number}" for number in range(1, 7))
ROWS = 600


def numbers_only(frame: pd.DataFrame) -> pd.DataFrame:
    """A function of the recipe file itself: the model must carry it along."""
    return frame[["x", "y"]]


def _nothing() -> None:
    return None


@dataclass
class TinyRecipe:
    """Two numbers and a colour; a window is a day."""

    in_training: Callable[[], Any] = _nothing
    name: str = "tiny"
    features: Sequence[str] = ("x", "y", "colour")
    categorical: Sequence[str] = ("colour",)
    label: str = "label"
    entity: str | None = "user"
    event_time: str | None = "at"

    def windows(self) -> Sequence[str]:
        return WINDOWS

    def window_at(self, time: datetime) -> str:
        day = (time - START).days
        if not 0 <= day < len(WINDOWS):
            raise ValueError(f"the days are {START:%Y-%m-%d} and the {len(WINDOWS) - 1} after it")
        return WINDOWS[day]

    def load(self, window: str) -> pd.DataFrame:
        number = WINDOWS.index(window)
        random = np.random.default_rng(number)
        x, y = random.normal(size=(2, ROWS))
        return pd.DataFrame(
            {
                "x": x,
                "y": y,
                "colour": random.choice(["red", "blue"], ROWS).astype(object),
                "label": (x + random.normal(size=ROWS) > 0).astype(int),
                "user": [f"u{index % 200}" for index in range(ROWS)],
                "at": [START + timedelta(days=number, minutes=index) for index in range(ROWS)],
            }
        )

    def train(self, frame: pd.DataFrame) -> Any:
        print(f"{len(frame)} rows")  # noqa: T201  # it must end in the log, not among the progress
        _note()
        self.in_training()
        return make_pipeline(FunctionTransformer(numbers_only), LogisticRegression()).fit(frame, frame[self.label])


def _note() -> None:
    if log := os.environ.get("TINY_LOG"):
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")


def _wait() -> None:
    gate = Path(os.environ["TINY_GATE"])
    while not gate.exists():
        time.sleep(0.02)


def _raise() -> None:
    raise ArithmeticError("the moon is in the\nwrong house")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


recipe = TinyRecipe()
gated = TinyRecipe(_wait)
raising = TinyRecipe(_raise)
dying = TinyRecipe(_die)
