"""The story that is recorded: promotions, refusals, a rollback, drift, tournaments, dead letters, work under way."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from kafka import KafkaProducer

from support.takeover import models
from support.takeover.answers import ROWS, Asked
from support.takeover.shop_recipe import ShopRecipe
from support.waiting import eventually

GARBAGE = {"model-registered": b"{no json", "training": b'{"model_name": "shop"}', "ground-truth": b"\xff\xfe\x00"}


class Teller:
    """What a user does: commands, messages, requests; and waiting for what follows."""

    def __init__(self, asked: Asked, urls: Mapping[str, str], data: Path, work: Path) -> None:
        self.asked, self.work = asked, work
        self._data = data
        self._kafka = urls["kafka"].removeprefix("http://")
        os.environ["MLFLOW_TRACKING_URI"] = urls["mlflow"]
        mlflow.set_tracking_uri(urls["mlflow"])

    def gauntlet(self, *args: str, code: int = 0) -> None:
        command = [sys.executable, "-m", "gauntlet", *args, "--data-dir", str(self._data)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        print(" ".join(("gauntlet", *args)), "→", ended.returncode, ended.stdout, ended.stderr, flush=True)  # noqa: T201
        assert ended.returncode == code, ended.stderr

    def log(
        self, name: str, estimator: Any, training: pd.DataFrame, golden: pd.DataFrame | None = None
    ) -> dict[str, Any]:
        return models.log(name, estimator, training, golden, self.work)

    def send(self, topic: str, key: str, value: bytes) -> None:
        """A message from any language: no headers."""
        producer = KafkaProducer(bootstrap_servers=self._kafka, acks="all")
        producer.send(topic, key=key.encode(), value=value).get(30)
        producer.close()

    def register(self, said: Mapping[str, Any]) -> None:
        self.send("model-registered", said["model_name"], json.dumps(said).encode())

    def verdict(self, said: Mapping[str, Any]) -> str:
        path = f"/models/{said['model_name']}/candidates"

        def judged() -> str | None:
            found = {each["model_version"]: each for each in self.asked.get("gatekeeper", path)}
            each = found.get(said["model_version"])
            return str(each["state"]) if each and each["judged_at"] else None

        return eventually(judged, timeout=120)

    def answers(self, name: str, version: int, epoch: int) -> None:
        """Wait until production answers with this promotion."""

        def answering() -> bool:
            found = self.asked.loaded("serving").get(name, {})
            return (found.get("model_version"), found.get("epoch")) == (version, epoch)

        eventually(answering, timeout=120)

    def stop(self) -> None:
        """As Ctrl-C does, at once: a command takes longer to start than gates to run."""
        os.kill(json.loads((self._data / "stack.json").read_text())["supervisor"]["pid"], signal.SIGTERM)

    def quiet(self) -> None:
        """Wait until nothing is left to do: no job, no event to publish, every prediction counted."""
        eventually(lambda: self._left() == [], timeout=120)
        before = None
        while before != (before := self._counted()):
            time.sleep(1.0)  # a recording, no test: nothing tells that a stream has ended

    def _left(self) -> list[Any]:
        found: list[Any] = []
        for path in (self._data / "databases").glob("*.db"):
            with closing(sqlite3.connect(path)) as connection:
                found += connection.execute("SELECT id FROM jobs WHERE state IN ('queued', 'running')").fetchall()
                found += connection.execute("SELECT id FROM outbox WHERE published_at IS NULL").fetchall()
        lagging = [each for name in ROWS for each in self._replicas(name) if each["lagging"]]
        return found + lagging

    def _replicas(self, name: str) -> list[dict[str, Any]]:
        return list(self.asked.get("gatekeeper", f"/models/{name}")["replicas"])

    def _counted(self) -> Any:
        return [self.asked.get("drift", f"/models/{name}/windows") for name in ROWS]


def play(teller: Teller) -> None:
    steps: tuple[Callable[[Teller], None], ...] = (_shop, _loans, _prices, _segments, _garbage)
    for step in steps:
        began = time.monotonic()
        step(teller)
        print(f"{step.__name__.strip('_')}: {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    teller.quiet()


def under_way(teller: Teller) -> None:
    """A version of `segments`; the stack is told to stop while its gates run."""
    said = teller.log("segments", models.linear(), models.segments(4), models.segments(5))
    teller.register(said)

    def gating() -> bool:
        listed = teller.asked.get("gatekeeper", "/models/segments/candidates")
        return any(each["state"] == "gating" for each in listed)

    eventually(gating, timeout=60, interval=0.01)
    teller.stop()


def _shop(teller: Teller) -> None:
    """A recipe: trained, drifting, trained again and promoted, rolled back."""
    teller.gauntlet("train", "shop", "--window", "w1..w2", "--reason", "the first", "--wait")
    teller.answers("shop", 1, 1)
    frame = ShopRecipe().load("w6").head(200)
    truth = frame.pop("left").tolist()
    rows = json.loads(frame.to_json(orient="records", date_format="iso"))
    made = teller.asked.post("serving", "/models/shop/predict", {"rows": rows})
    items = [{"request_id": made["request_id"], "row": row, "label": truth[row]} for row in range(120)]
    teller.asked.post("serving", "/models/shop/feedback", {"items": items})
    assert teller.verdict({"model_name": "shop", "model_version": 2}) == "passed"
    teller.answers("shop", 2, 2)
    teller.gauntlet("rollback", "shop", "--reason", "the mailing is not ready for it")
    teller.answers("shop", 1, 3)


def _loans(teller: Teller) -> None:
    """Judged on golden datasets: promoted, refused, and brought back by a tournament after a drift."""
    rows = {season: teller.work / f"season-{season}.parquet" for season in ("a", "b")}
    for number, (season, path) in enumerate(rows.items()):
        models.loans(10 + number, season).to_parquet(path, index=False)
    teller.gauntlet("golden", "create", "loans", str(rows["a"]), "--note", "the first season")
    teller.log("loans", models.linear(), models.loans(20, "b"))
    teller.log("loans", models.linear(), models.loans(21, "a"))
    worse = models.loans(22, "a")
    teller.log("loans", models.linear(), worse.assign(bad=1 - worse["bad"]))
    for version, code in ((1, 0), (2, 0), (3, 1)):
        teller.gauntlet("register", "loans", str(version), "--reason", "from a notebook", "--wait", code=code)
    teller.answers("loans", 2, 2)
    teller.gauntlet("golden", "create", "loans", str(rows["b"]), "--note", "the second season")
    frame = models.loans(12, "b").head(200)
    truth = frame.pop("bad").tolist()
    made = teller.asked.post("serving", "/models/loans/predict", {"rows": frame.to_dict("records")})
    items = [{"request_id": made["request_id"], "row": row, "label": label} for row, label in enumerate(truth)]
    teller.asked.post("serving", "/models/loans/feedback", {"items": items})
    teller.answers("loans", 1, 3)


def _prices(teller: Teller) -> None:
    """A regression, told of by messages without headers; its second version is worse, and is refused."""
    for estimator, seed, state in ((models.forest(), 1, "passed"), (models.stump(), 2, "failed")):
        said = teller.log("prices", estimator, models.prices(seed), models.prices(seed + 10))
        teller.register(said)
        assert teller.verdict(said) == state
    teller.answers("prices", 1, 1)


def _segments(teller: Teller) -> None:
    """Three classes with names; frozen by a person."""
    said = teller.log("segments", models.linear(), models.segments(1), models.segments(2))
    teller.register(said)
    assert teller.verdict(said) == "passed"
    teller.answers("segments", 1, 1)
    teller.gauntlet("freeze", "segments", "--reason", "the year's end")


def _garbage(teller: Teller) -> None:
    """What no service can handle."""
    for topic, value in GARBAGE.items():
        teller.send(topic, "shop", value)
