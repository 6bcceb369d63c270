"""Generates snapshots of the StreamFlow schema: `python -m examples.churn_data OUT --months 6 --drift gradual`.

Everything is drawn from one seed: equal arguments give equal files. The subscribers and their contracts are the same in
each month, as in the original data; usage, payments, support and labels are new. With drift two things change together:
how well streaming works (the features), and why people leave (the labels given the features), so that a model of the
first month degrades.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from examples.churn import TABLES, USER

Drift = Literal["gradual", "sudden", "recurring", "none"]
YEAR = 12
LAST_SIGN_UP = date(2022, 2, 6)
LONGEST_TENURE = 72


def progress(month: int, months: int, drift: Drift) -> float:
    """Return the amount of drift in a month, from 0 to 1.

    Gradual: rises until the last month. Sudden: 1 from the middle month on. Recurring: a cosine, period one year.
    """
    if drift == "none" or months < 2:
        return 0.0
    if drift == "sudden":
        return float(month >= months // 2)
    if drift == "recurring":
        return (1 - math.cos(2 * math.pi * month / YEAR)) / 2
    return month / (months - 1)


def generate(months: int, users: int, seed: int, drift: Drift) -> Iterator[dict[str, pd.DataFrame]]:
    """Yield the tables of each month, by name, oldest month first."""
    rng = np.random.default_rng(seed)
    subscribers = _subscribers(rng, users)
    for month in range(months):
        seen = _observe(rng, subscribers, progress(month, months, drift))
        yield {table: seen[[USER, *_columns(table)]] for table in TABLES}


def write(out: Path, months: int, users: int, seed: int, drift: Drift) -> list[Path]:
    """Write month_000, month_001, … into `out`, and return their folders."""
    folders = []
    for month, tables in enumerate(generate(months, users, seed, drift)):
        folder = out / f"month_{month:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            rows.to_csv(folder / f"{name}.csv", index=False)
        folders.append(folder)
    return folders


def _columns(table: str) -> tuple[str, ...]:
    return ("signup_date", *TABLES[table]) if table == "users" else TABLES[table]


def _subscribers(rng: np.random.Generator, count: int) -> pd.DataFrame:
    """Draw the subscribers with the attributes that are constant over the months."""
    net = rng.choice(["Fiber optic", "DSL", "No"], size=count, p=[0.44, 0.34, 0.22])
    contract = rng.choice(["Month-to-month", "One year", "Two year"], size=count, p=[0.55, 0.21, 0.24])
    loyal = np.select([contract == "Two year", contract == "One year"], [42, 31], 15)
    tenure = np.minimum(rng.exponential(loyal), LONGEST_TENURE).astype(int)
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))[rng.integers(0, 26, size=(count, 5))]
    online = net != "No"
    streams_tv, streams_movies = online & (rng.random(count) < 0.49), online & (rng.random(count) < 0.49)
    fee = (
        np.select([net == "Fiber optic", net == "DSL"], [72.0, 48.0], 20.0) + 10.0 * streams_tv + 10.0 * streams_movies
    )
    fee = (fee + rng.normal(0, 3, count)).clip(18).round(2)
    # Sign-up dates are counted back in days from the last one, as in the original data.
    signed_up = [(LAST_SIGN_UP - timedelta(days=min(int(months), 36))).isoformat() for months in tenure]
    return pd.DataFrame(
        {
            USER: [f"{number:04d}-{''.join(word)}" for number, word in enumerate(letters)],
            "signup_date": signed_up,
            "user_gender": rng.choice(["Female", "Male"], size=count),
            "user_is_senior": rng.random(count) < 0.16,
            "has_family": rng.random(count) < 0.48,
            "has_dependents": rng.random(count) < 0.30,
            "months_active": tenure,
            "plan_stream_tv": np.where(online, streams_tv.astype(object), None),
            "plan_stream_movies": np.where(online, streams_movies.astype(object), None),
            "contract_type": contract,
            "paperless_billing": rng.random(count) < 0.59,
            "monthly_fee": fee,
            "total_paid": (fee * tenure * rng.normal(1, 0.03, count)).clip(0).round(2),
            "net_service": net,
            "likes_watching": rng.normal(30, 5, count),
        }
    )


def _observe(rng: np.random.Generator, subscribers: pd.DataFrame, moved: float) -> pd.DataFrame:
    """Draw a month's observations of the subscribers, and whether they leave after it."""
    seen = subscribers.copy()
    count = len(seen)
    fast = (seen["net_service"] == "Fiber optic").to_numpy()
    seen["watch_hours_30d"] = (seen["likes_watching"] - 5 * moved + rng.normal(0, 4, count)).clip(0)
    seen["avg_session_mins_7d"] = (29 + 0.3 * (seen["watch_hours_30d"] - 30) + rng.normal(0, 6, count)).clip(1)
    seen["unique_devices_30d"] = rng.integers(1, 4, count)
    seen["skips_7d"] = rng.poisson(5, count)
    seen["rebuffer_events_7d"] = rng.poisson(2.3 + 2.5 * moved * (1 + 0.5 * fast))
    seen["failed_payments_90d"] = rng.poisson(0.16 + 0.1 * moved, count)
    seen["support_tickets_90d"] = rng.poisson(0.25 + 0.05 * seen["rebuffer_events_7d"])
    seen["ticket_avg_resolution_hrs_90d"] = rng.normal(10, 4, count).clip(1).round(1)
    seen["churn_label"] = rng.random(count) < 1 / (1 + np.exp(-_wish_to_leave(seen, moved)))
    return seen


def _wish_to_leave(seen: pd.DataFrame, moved: float) -> np.ndarray:
    """Return the log odds of leaving: depend at first on contract, tenure and price; with drift, on service quality."""
    fast = (seen["net_service"] == "Fiber optic").to_numpy(float)
    offline = (seen["net_service"] == "No").to_numpy(float)
    two_years = (seen["contract_type"] == "Two year").to_numpy(float)
    one_year = (seen["contract_type"] == "One year").to_numpy(float)
    tenure = np.minimum(seen["months_active"].to_numpy(float), LONGEST_TENURE) / 12
    before = -0.4 + 0.9 * fast - 0.8 * offline - 1.6 * two_years - 0.8 * one_year - 0.35 * tenure
    before = before + 0.3 * seen["user_is_senior"] + 0.2 * seen["paperless_billing"] - 0.2 * seen["has_family"]
    service = -3.0 + 0.35 * seen["rebuffer_events_7d"] + 0.6 * seen["support_tickets_90d"]
    service = service + 0.8 * seen["failed_payments_90d"] - 0.08 * (seen["watch_hours_30d"] - 28) - 0.1 * tenure
    weight = 0.8 * moved
    odds: pd.Series = (1 - weight) * before + weight * service + (1 - moved) * 0.15 * seen["support_tickets_90d"]
    return odds.to_numpy(float)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.churn_data", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write month_000, month_001, … into")
    parser.add_argument("--months", type=_from_one_up, default=6)
    parser.add_argument("--users", type=_from_one_up, default=5000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--drift", choices=get_args(Drift), default="gradual")
    given = parser.parse_args(argv)
    if existing := sorted(given.out.glob("month_*")):
        parser.error(f"{given.out} already has {existing[0].name}: name a new folder, or delete it first")
    for folder in write(given.out, given.months, given.users, given.seed, given.drift):
        sys.stdout.write(f"{folder}\n")
    return 0


def _from_one_up(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return number


if __name__ == "__main__":
    sys.exit(main())
