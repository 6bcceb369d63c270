"""A model whose policy rolls out: the test publishes what serving and drift would of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import httpx

from contracts import (
    ArmSums,
    Envelope,
    ModelLoaded,
    ModelLoadFailed,
    PairedSums,
    Promoted,
    RolloutChanged,
    RolloutMeasured,
)
from contracts.rollouts import log_wealth
from support.bus_client import BusClient
from support.candidates import Candidates
from support.gatekeepers import Gatekeepers
from support.waiting import eventually

seen = partial(eventually, timeout=60)


@dataclass
class Rolling:
    gatekeepers: Gatekeepers
    bus: BusClient
    candidates: Candidates
    name: str = field(default_factory=lambda: f"m-{uuid4().hex[:8]}")
    dying_at: str | None = None
    """A point of support.crash: the gatekeeper is started again whenever it has died there."""
    deaths: int = 0

    def policy(self, **policy: Any) -> None:
        self.gatekeepers.policy(self.name, **policy)

    def start(self, **policy: Any) -> None:
        self.policy(**policy)
        self.gatekeepers.start_ready(dying_at=self.dying_at)

    def revive(self) -> None:
        """Start the gatekeeper again if it has died at its point."""
        while self.dying_at is not None and (code := self.gatekeepers.processes[-1].poll()) is not None:
            assert code == -9, self.gatekeepers.log()
            self.deaths += 1
            self.gatekeepers.start(dying_at=self.dying_at)
            seen(lambda: self.gatekeepers.processes[-1].poll() is not None or self.gatekeepers.ready())

    def get(self, path: str) -> Any:
        """As `Gatekeepers.get`, of one that may be dying: to be called in `seen`."""
        self.revive()
        try:
            return self.gatekeepers.get(path)
        except httpx.HTTPError as error:
            raise AssertionError(f"it does not answer: {error}") from error

    def register(self, kind: str, **changes: Any) -> int:
        """A version that has its verdict; returns its number."""
        envelope = self.bus.publish(self.candidates.version(self.name, kind, **changes))
        version: int = envelope.data.model_version
        path = f"/models/{self.name}/candidates/{version}"
        seen(lambda: self.get(path)["judged_at"] is not None)
        return version

    def champion(self) -> None:
        """A first champion, v1: with people's approval where the policy wants it."""
        self.register("fair")
        found = seen(lambda: self.get(f"/rollouts?model_name={self.name}&active=true"))["rollouts"]
        if found:
            self.gatekeepers.post(f"/models/{self.name}/promote", {**_WHO, "model_version": 1})
        seen(lambda: self.get(f"/models/{self.name}")["champion"])

    def running(self) -> Any:
        """The rollout that has not ended, else the last one; None without any."""
        found = self.get(f"/rollouts?model_name={self.name}&limit=1")["rollouts"]
        return found[0] if found else None

    def at(self, stage: str, **wanted: Any) -> Any:
        """The newest rollout, once it is at this stage."""

        def found() -> Any:
            rollout = self.running()
            state = rollout and {"stage": rollout["stage"], **{name: rollout[name] for name in wanted}}
            assert state == {"stage": stage, **wanted}, rollout
            return rollout

        return seen(found)

    def post(self, command: str, **body: Any) -> httpx.Response:
        return self.gatekeepers.post(f"/models/{self.name}/rollout/{command}", {**_WHO, **body})

    def loaded(self, version: int, *, role: str = "production", **more: Any) -> Envelope[ModelLoaded]:
        event = ModelLoaded(
            model_name=self.name,
            model_version=version,
            replica=f"{role}-1",
            role=role,
            seconds=0.1,
            artifact_digest="sha256:0",
            **more,
        )
        return self.bus.publish(event)

    def load_failed(self, version: int, *, role: str = "production", permanent: bool = True, **more: Any) -> None:
        event = ModelLoadFailed(
            model_name=self.name,
            model_version=version,
            replica=f"{role}-1",
            role=role,
            seconds=0.1,
            reason="ValueError: cannot be read",
            permanent=permanent,
            **more,
        )
        self.bus.publish(event)

    def measured(self, rollout: Any, **sums: Any) -> RolloutMeasured:
        """Sums of a rollout's current step: see `sums_of`."""
        event = sums_of(rollout, **sums)
        self.bus.publish(event)
        return event

    def promoted(self, number: int) -> list[Promoted]:
        """The promotions, once there are this many."""
        found = self._published(Promoted.topic)
        return found if len(found) >= number else []

    def changes(self) -> list[RolloutChanged]:
        return self._published(RolloutChanged.topic)

    def _published(self, topic: str) -> list[Any]:
        """A record that was published twice, under one id, counts once."""
        ids = {item.id: item.data for item in self.bus.events(topic) if item.model_name == self.name}
        return list(ids.values())


def sums_of(
    rollout: Any,
    *,
    n: int = 1000,
    wins: int = 0,
    losses: int = 0,
    errors: int = 0,
    champion_errors: int = 0,
    slow: int = 0,
    share: float | None = None,
    lost: bool = False,
) -> RolloutMeasured:
    """Sums over n units of the tried version, right or wrong; as many of the champion, or by `share` of all.

    `wins` and `losses` are units that only one of both had right, `errors` and `slow` the tried version's.
    `lost`: drift has lost its database just now, and has counted since.
    """
    others = n if share is None else round(n * (1 - share) / share)
    better = worse = [0.0] * 8
    for d, count in ((1.0, wins), (-1.0, losses)):
        one, other = log_wealth(d)
        better = [sum(each) for each in zip(better, [count * x for x in one], strict=True)]
        worse = [sum(each) for each in zip(worse, [count * x for x in other], strict=True)]
    champion = ArmSums(
        model_version=rollout["champion_version"],
        units=others,
        predictions=others,
        errors=champion_errors,
        latency={"40": others},
        labelled=others,
        loss=float(10 + wins),
        loss2=float(10 + wins),
        right=max(0, others - 10 - wins),
    )
    tried = ArmSums(
        model_version=rollout["tried_version"],
        units=n,
        predictions=n,
        errors=errors,
        latency={"40": n - slow, **({"60": slow} if slow else {})},
        labelled=n,
        loss=float(10 + losses),
        loss2=float(10 + losses),
        right=max(0, n - 10 - losses),
    )
    paired = PairedSums(
        n=n,
        wins=wins,
        losses=losses,
        sum_d=float(wins - losses),
        sum_d2=float(wins + losses),
        log_wealth_better=tuple(better),
        log_wealth_worse=tuple(worse),
    )
    now = datetime.now(UTC)
    return RolloutMeasured(
        model_name=rollout["model_name"],
        rollout_id=rollout["rollout_id"],
        step=rollout["step"],
        champion=champion,
        tried=tried,
        paired=paired,
        champion_history=10_000,
        compared=n,
        agreed=max(0, n - wins - losses),
        counted_from=now if lost else datetime.fromisoformat(rollout["steps"][rollout["step"]]["began_at"]),
        measured_at=now,
    )


_WHO = {"actor": "ada", "reason": "because"}
