"""Versions that are registered by name and number alone, and golden datasets, for tests of the gatekeeper."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pandas as pd

from contracts import ModelRegistered, Trigger
from support.gatekeepers import Gatekeepers
from support.waiting import eventually


def bare(model_name: str, version: int, trigger: Trigger | None = None) -> ModelRegistered:
    return ModelRegistered(model_name=model_name, model_version=version, trigger=trigger)


def create_golden(gatekeeper: Gatekeepers, model_name: str, frame: pd.DataFrame) -> str:
    path = gatekeeper.folder / f"{uuid4().hex}.parquet"
    frame.to_parquet(path, index=False)
    made = gatekeeper.post(
        f"/models/{model_name}/golden", params={"actor": "ada", "note": "for a test"}, content=path.read_bytes()
    )
    assert made.status_code == 201, made.text
    return str(made.json()["digest"])


def registration(gatekeeper: Gatekeepers, model_name: str, version: int, event_id: str) -> dict[str, Any]:
    """What came of this event, once that is decided."""

    def decided() -> dict[str, Any] | None:
        found = gatekeeper.candidate(model_name, version)["registrations"]
        each = next((each for each in found if each["event_id"] == event_id), None)
        return each if each and (each["judgement"] or each["kept"]) else None

    return eventually(decided, timeout=60)
