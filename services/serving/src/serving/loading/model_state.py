"""The state of one model on this replica: desired version, active version, last failure."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram

from contracts import Envelope
from forms import CompilationResult, ServingArtifact
from serving.inference.model import LoadedModel
from serving.loading.failure import Failure, failure_of
from serving.loading.trial_state import TrialState
from serving.policy import trials
from serving.policy.trials import DesiredTrial, TrialAction, TrialSnapshot
from serving.policy.versions import Artifact, Attempt, DesiredVersion, Resident, Snapshot

if TYPE_CHECKING:
    from serving.inference.hosted_model import HostedModel

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


@dataclass(slots=True)
class LoadedVersion:
    """A model in memory."""

    model: LoadedModel
    warm: bool = False
    answered: bool = False
    compiled: bool = False
    isolated: bool = False
    """Its native model is in a process of its own because a rollout tried it, not because it brings code."""
    given: ServingArtifact | None = None
    """Built by the gate; kept until the model is warm."""
    served: CompilationResult = field(default_factory=CompilationResult)
    """Of the form in use; reported by `/models`."""
    size: int = 0
    """Estimated bytes: the growth of the process while it was loaded and warmed up."""

    @property
    def host(self) -> HostedModel | None:
        """The model in a process of its own, if it is in one."""
        pyfunc = self.model.pyfunc
        return pyfunc if hasattr(pyfunc, "call_seconds") else None

    @property
    def ends(self) -> list[str]:
        """Why its process ended, each time lately."""
        return [why for _, why in self.host.ends] if self.host is not None else []

    @property
    def is_down(self) -> bool:
        """It cannot predict now: only its process could, and that has ended."""
        return self.model.form is None and self.host is not None and not self.host.is_up


@dataclass(slots=True)
class ModelState:
    """Changed on the event loop only; `active` may be read from any thread."""

    model_name: str
    desired: DesiredVersion | None = None
    cause: Envelope[Any] | None = None
    desired_at: float = 0.0
    active: ActiveVersion | None = None
    trial: ActiveTrial | None = None
    """Like `active`, it may be read from any thread. Its champion's epoch is the active version's."""
    trying: TrialState = field(default_factory=TrialState)
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
        active, trying = self._active_version, self.trying
        return Snapshot(
            desired=self.desired,
            active=active,
            resident=self._residents(),
            cached=cached,
            attempt=self.attempt,
            evicted=self.evicted,
            tried=trials.kept(trying.wanted, active, trying.attempt),
            promotion_due=trials.is_promotion_due(trying.wanted, self.desired),
        )

    def next_trial_action(self, *, cached: bool) -> TrialAction:
        snapshot = TrialSnapshot(
            trial=self.trying.wanted,
            running=self.trial.desired if self.trial else None,
            active=self._active_version,
            resident=self._residents(),
            cached=cached,
            attempt=self.trying.attempt,
        )
        return trials.next_trial_action(snapshot, time.monotonic())

    @property
    def _active_version(self) -> DesiredVersion | None:
        return self.active.desired if self.active else None

    def _residents(self) -> tuple[Resident, ...]:
        return tuple(
            Resident(artifact, loaded.warm, loaded.answered, loaded.compiled, loaded.isolated, loaded.is_down)
            for artifact, loaded in self.resident.items()
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

    def needed_versions(self) -> list[DesiredVersion]:
        """Return the versions whose files must stay on disk."""
        tried = self.trying.wanted.tried if self.trying.wanted else None
        return [desired for desired in (self.desired, self.evicted, tried) if desired]

    def is_tried(self, artifact: Artifact) -> bool:
        """Return whether `artifact` is in memory because a rollout tries it, or may promote it."""
        active = self._active_version
        if active is not None and active.artifact == artifact:
            return False
        return trials.kept(self.trying.wanted, active, self.trying.attempt) == artifact

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

    def set_trial(self, trial: DesiredTrial, cause: Envelope[Any], now: float) -> None:
        """Another step of what is carried out begins when its version is ready; what is over ends at once."""
        self.trying.want(trial, cause, now)
        self.end_trial_unless_in_force()
        self.changed.set()

    def begin(self, trial: DesiredTrial) -> bool:
        """Carry out `trial`; return False for a further step of what is carried out, which loads nothing."""
        running = self.trial
        if running is not None and running.desired.is_of_same(trial):
            self.trial = replace(running, desired=trial)
            return False
        version = self._version_of(trial.tried)
        self.trial = ActiveTrial(trial, version)
        return True

    def end_trial_unless_in_force(self) -> None:
        trying = self.trying
        failed = trying.attempt is not None and trying.attempt.permanent
        if self.trial is not None and (
            failed or not trials.goes_on(self.trial.desired, trying.wanted, self._active_version)
        ):
            self.trial = None

    def swap(self, desired: DesiredVersion) -> None:
        """From here on requests are answered with `desired`; those in flight finish with what they began with."""
        loaded = self.resident.pop(desired.artifact)
        loaded.answered = True
        if loaded.host is not None:
            loaded.host.limit(None)  # those of a tried version
        self.resident[desired.artifact] = loaded  # to the end: most recently swapped in
        if self.trial is not None and self.trial.desired.champion_epoch != desired.epoch:
            self.trial = None  # first: no request may read it with the new version
        self.active = self._version_of(desired)
        self.evicted = None
        if desired == self.desired:  # otherwise it replaces one that cannot be loaded now
            self.attempt = self.failure = None
        if (
            self.demand is not None or not self.last_used
        ):  # who waits asks still: it shall not leave before it has answered
            self.last_used = time.monotonic()
        self._tell()

    def move_in(self, loaded: LoadedVersion) -> None:
        """Let `loaded`, in this process, take the place of the same version in a process of its own."""
        assert self.active is not None, "only an active version moves"
        loaded.answered = True
        self.resident[self.active.desired.artifact] = loaded
        self.active = replace(self.active, model=loaded.model, loaded=loaded)

    def evict(self, artifact: Artifact) -> None:
        """Release `artifact`. Requests in flight finish with it; its memory is free afterwards."""
        del self.resident[artifact]
        if self.trial is not None and self.trial.desired.tried.artifact == artifact:
            self.trial = None
        if self.active is not None and self.active.desired.artifact == artifact:
            self.evicted, self.active, self.trial = self.active.desired, None, None
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
        self.failure = failure_of(attempt, reason)
        self._tell()

    def _version_of(self, desired: DesiredVersion) -> ActiveVersion:
        loaded = self.resident[desired.artifact]
        name, version = desired.artifact.model_name, desired.artifact.model_version
        rows, latency = ROWS.labels(name, version), LATENCY.labels(name)
        return ActiveVersion(loaded.model, desired, datetime.now(UTC), loaded, rows, latency)

    def _tell(self) -> None:
        if self.demand is not None:
            self.demand.set()
            self.demand = None
