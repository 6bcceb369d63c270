"""Replicas without a broker: what they believe, by the code that they run, of records that are handed to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from chassis.artifact_cache import ArtifactCache
from chassis.follower import Follower
from chassis.signing.key_folder import KeyFolder
from contracts import Event, GatePassed, Promoted, RolloutChanged
from contracts.cloudevents import Record
from serving.decisions.record import DecisionRecord
from serving.decisions.verified import VerifiedDecisions
from serving.handlers import in_production, in_staging
from serving.loading.reconciler import ModelReconciler
from serving.settings import Settings
from support.forged import FIRST, World

ROLES: dict[str, tuple[tuple[type[Event], ...], Any]] = {
    "production": ((Promoted, RolloutChanged), in_production),
    "staging": ((GatePassed, Promoted), in_staging),
}


class Believer:
    """A replica without a broker, whose loader waits for ever; a record goes the way it goes from Kafka on."""

    def __init__(self, folder: Path, made: World, role: str = "production", *, trusts: bool = True) -> None:
        self.settings = Settings(_env_file=None, role=role, data_dir=folder, trusted_keys=folder / "trusted")
        (folder / "trusted").mkdir(exist_ok=True)
        (folder / "trusted" / "gatekeeper.pem").write_bytes(made.key.public_pem())
        self.events, handler = ROLES[role]
        self.reconciler = ModelReconciler(
            self.settings, ArtifactCache(folder / "cache", 10**9), _no_download, lambda event, cause: None
        )
        self.reconciler.hold_until(asyncio.Event())
        on_event = partial(handler, self.reconciler)
        self.keys = KeyFolder(folder / "trusted")
        self.keys.look()
        record = DecisionRecord(self.settings.decisions_file, "")
        self.trust = VerifiedDecisions(self.keys, record, self.events, on_event, self.settings.max_event_bytes)
        self.follower = self.trust.follower(self.settings) if trusts else Follower(self.settings, self.events, on_event)

    async def read(self, records: Iterable[Record]) -> None:
        for record in records:
            if record.topic in {event.topic for event in self.events}:
                message = SimpleNamespace(**record._asdict(), partition=0, offset=0)
                await self.follower._hand_over(record.topic, message)

    async def catch_up(self) -> None:
        await self.trust.on_caught_up()
        self.follower.is_live = True

    def in_force(self) -> dict[str, Any]:
        """All that decides what is served: the versions, and the rollouts."""
        found: dict[str, Any] = {
            state.model_name: (state.desired, state.trying.wanted) for state in self.reconciler.states()
        }
        return found | {f"early {name}": trial for name, (trial, _) in self.reconciler._early_trials.items()}

    def version(self, model_name: str = FIRST) -> int | None:
        desired = self.reconciler.desired(model_name)
        return desired.artifact.model_version if desired else None


def _no_download(uri: str, into: Path) -> Path:
    raise AssertionError(f"{uri} was fetched")


def run(scenario: Any) -> None:
    asyncio.run(scenario())
