"""The state of one model on this replica: desired version, active version, last failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Counter, Histogram

from contracts import Envelope
from forms import CompilationResult, ServingArtifact
from serving.inference.model import LoadedModel
from serving.policy.trials import DesiredTrial
from serving.policy.versions import Artifact, Attempt, DesiredVersion, Resident, Snapshot

LATENCY = Histogram(
    "gauntlet_serving_request_seconds",
    "From the request's first byte to its answer",
    ["model_name"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
ROWS = Counter("gauntlet_serving_rows_total", "Rows answered", ["model_name", "model_version"])


@dataclass(frozen=True, slots=True)
class ActiveVersion:
    """The version that handles a request from start to end; swapped as one reference."""

    model: LoadedModel
    desired: DesiredVersion
    since: datetime
    loaded: LoadedVersion
    rows: Any
    latency: Any
    """The counters of this version, looked up once."""


@dataclass(frozen=True, slots=True)
class ActiveTrial:
    """A version that is tried beside the active one: loaded and warm, of a rollout whose epoch is the active one's."""

    desired: DesiredTrial
    version: ActiveVersion


@dataclass(frozen=True, slots=True)
class Failure:
    desired: DesiredVersion
    reason: str
    permanent: bool
    attempts: int
    time: datetime


@dataclass(slots=True)
class LoadedVersion:
    """A model in memory."""

    model: LoadedModel
    warm: bool = False
    answered: bool = False
    compiled: bool = False
    given: ServingArtifact | None = None
    """Built by the gate; kept until the model is warm."""
    served: CompilationResult = field(default_factory=CompilationResult)
    """Of the form in use; reported by `/models`."""
    size: int = 0
    """Estimated bytes: the growth of the process while it was loaded and warmed up."""


@dataclass(slots=True)
class ModelState:
    """Changed on the event loop only; `active` may be read from any thread."""

    model_name: str
    desired: DesiredVersion | None = None
    cause: Envelope[Any] | None = None
    desired_at: float = 0.0
    active: ActiveVersion | None = None
    trial: ActiveTrial | None = None
    """Like `active`, it may be read from any thread."""
    resident: dict[Artifact, LoadedVersion] = field(default_factory=dict)
    attempt: Attempt | None = None
    failure: Failure | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    last_used: float = 0.0
    """When a request last came for it; seconds, monotonic."""
    evicted: DesiredVersion | None = None
    """The version that was active until its memory was needed; None as soon as it is requested."""
    demand: asyncio.Event | None = None
    """Requests wait for an evicted model; set when it is loaded, or cannot be."""
    waiting: int = 0
    loading: bool = False

    def snapshot(self, *, cached: bool) -> Snapshot:
        return Snapshot(
            desired=self.desired,
            active=self.active.desired if self.active else None,
            resident=tuple(
                Resident(artifact, loaded.warm, loaded.answered, loaded.compiled)
                for artifact, loaded in self.resident.items()
            ),
            cached=cached,
            attempt=self.attempt,
            evicted=self.evicted,
        )

    @property
    def is_settled(self) -> bool:
        """The desired version is active, or evicted until requested, or failed permanently."""
        if self.desired is None or (self.active is not None and self.active.desired == self.desired):
            return True
        if self.evicted == self.desired:
            return True
        return self.attempt is not None and self.attempt.desired == self.desired and self.attempt.permanent

    @property
    def is_evicted(self) -> bool:
        """No version is active, but one will be loaded on request."""
        demanded = self.demand is not None and self.failure is None
        return self.active is None and (self.evicted is not None or demanded)

    @property
    def is_pinned(self) -> bool:
        """It stays in memory: it is being loaded, requests wait, or it replaces a version that cannot be loaded."""
        stands_in = self.active is not None and self.active.desired != self.desired
        return self.loading or stands_in or self.demand is not None or self.waiting > 0

    def is_previous(self, artifact: Artifact) -> bool:
        """Return whether `artifact` is in memory for a rollback only."""
        current = self.active.desired.artifact if self.active else None
        return artifact != current and self.resident[artifact].answered

    def as_waiting(self) -> str:
        version = self.desired.artifact.model_version if self.desired else "?"
        why = f" (attempt {self.failure.attempts} failed: {self.failure.reason})" if self.failure else ""
        return f"{self.model_name} version {version}{why}"

    def set_desired(self, desired: DesiredVersion, cause: Envelope[Any], now: float) -> None:
        self.desired, self.cause, self.desired_at = desired, cause, now
        self.changed.set()

    def swap(self, desired: DesiredVersion) -> None:
        """From here on requests are answered with `desired`; those in flight finish with what they began with."""
        loaded = self.resident.pop(desired.artifact)
        loaded.answered = True
        self.resident[desired.artifact] = loaded  # to the end: most recently swapped in
        name, version = desired.artifact.model_name, desired.artifact.model_version
        rows, latency = ROWS.labels(name, version), LATENCY.labels(name)
        self.active = ActiveVersion(loaded.model, desired, datetime.now(UTC), loaded, rows, latency)
        self.evicted = None
        if desired == self.desired:  # otherwise it replaces one that cannot be loaded now
            self.attempt = self.failure = None
        if (
            self.demand is not None or not self.last_used
        ):  # who waits asks still: it shall not leave before it has answered
            self.last_used = time.monotonic()
        self._tell()

    def evict(self, artifact: Artifact) -> None:
        """Release `artifact`. Requests in flight finish with it; its memory is free afterwards."""
        del self.resident[artifact]
        if self.active is not None and self.active.desired.artifact == artifact:
            self.evicted, self.active = self.active.desired, None
            self.changed.set()

    def request_load(self, now: float) -> asyncio.Event:
        """Request the load of an evicted model, once for all callers; the event is set when it succeeds or fails."""
        if self.demand is None:
            self.demand = asyncio.Event()
            if self.evicted == self.desired:  # otherwise a newer one is being loaded already
                self.desired_at, self.evicted = now, None
                self.changed.set()
        return self.demand

    def fail(self, attempt: Attempt, reason: str) -> None:
        if attempt.desired == self.evicted:  # no version is left to replace it; keep the original failure
            self.evicted = None
            self._tell()
            return
        self.attempt = attempt
        self.failure = Failure(attempt.desired, reason, attempt.permanent, attempt.failures, datetime.now(UTC))
        self._tell()

    async def unless_changed(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Wait for `work`; return False when the desired version changes meanwhile, or it is evicted."""
        working = asyncio.create_task(work)
        changed = asyncio.create_task(self.changed.wait())
        try:
            await asyncio.wait({working, changed}, return_when=asyncio.FIRST_COMPLETED)
            if changed.done():
                return False
            working.result()
            return True
        finally:
            working.cancel()
            changed.cancel()

    def _tell(self) -> None:
        if self.demand is not None:
            self.demand.set()
            self.demand = None
