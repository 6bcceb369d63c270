"""A loader without a broker, with a registry that is a folder."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contracts
from chassis.artifact_cache import ArtifactCache
from chassis.digests import digest_tree
from chassis.errors import Permanent, Transient
from contracts import Cause, Envelope, Event, ModelLoaded, ModelLoadFailed, Promoted, new_envelope
from forms.artifact import RecordedPredictions, ServingArtifact
from serving.handlers import on_promoted, on_rollout_changed
from serving.loading.reconciler import ModelReconciler
from serving.settings import Settings
from support.versions import FEATURES, Version, pipeline, save, serving_artifact

DEADLINE = 60.0


class Store:
    """Stands for the registry: real artifacts on disk, and a URI that hangs, is away, or is not there.

    A URI is the name of a folder; "here" is that of the model.
    """

    def __init__(self, folder: Path, estimator: Any = None) -> None:
        self.folder = folder
        self.digest = save(estimator or pipeline(), folder / "model")
        self.unblock = threading.Event()
        self.failures_left = 0
        self.fetched: list[str] = []

    def download(self, uri: str, into: Path) -> Path:
        self.fetched.append(uri)
        if uri == "hangs":
            self.unblock.wait(DEADLINE)
        if self.failures_left:
            self.failures_left -= 1
            raise Transient("MLflow is away")
        if uri == "gone":
            raise Permanent("no such artifact")
        if uri == "foreign":
            raise ModuleNotFoundError("No module named 'botocore'")
        name = uri if (self.folder / uri).is_dir() else "model"
        return Path(shutil.copytree(self.folder / name, into / name))

    def add_beside(self, shift: float = 0.0) -> str:
        """A serving artifact of the model, whose recorded answers are off by `shift`; returns its digest."""
        made = serving_artifact(self.folder / "model", FEATURES)
        assert made.recorded is not None
        answers = [answer + shift for answer in made.recorded.answers]
        (self.folder / "beside").mkdir()
        ServingArtifact(made.form, RecordedPredictions(made.recorded.rows, answers)).write(self.folder / "beside")
        return digest_tree(self.folder / "beside")


class Bench:
    """A loader, and what it reported."""

    def __init__(self, folder: Path, estimator: Any = None, tolerances: Any = None, **settings: Any) -> None:
        self.store = Store(folder, estimator)
        self.reports: list[Event] = []
        self.cache = ArtifactCache(folder / "cache", 10**9)
        options = {"retry_first_seconds": 0.01, "retry_limit_seconds": 0.02, **settings}
        self.settings = Settings(_env_file=None, **options)
        self.reconciler = ModelReconciler(
            self.settings, self.cache, self.store.download, self.report, tolerances=tolerances
        )
        self.caught_up = asyncio.Event()
        self.reconciler.hold_until(self.caught_up)

    def report(self, event: Event, cause: Envelope[Any] | None) -> None:
        assert cause is not None
        self.reports.append(event)

    def promote(
        self, epoch: int, version: int = 1, uri: str = "here", model_name: str = "flights", **more: Any
    ) -> None:
        event = Promoted(
            model_name=model_name,
            model_version=version,
            epoch=epoch,
            artifact_uri=uri,
            artifact_digest=more.get("digest", self.store.digest),
            cause=Cause.GATE,
            actor="test",
            serving_artifact=_named(more.get("artifact_ref")),
            output=more.get("output"),
        )
        on_promoted(self.reconciler, new_envelope(event, source="test"))

    def roll_out(self, revision: int, version: int, champion_epoch: int, uri: str = "here", **more: Any) -> None:
        """Try `version`; `more` is for `Version.rollout`, and `digest`, `artifact_ref`, `model_name`."""
        model_name, digest = more.pop("model_name", "flights"), more.pop("digest", self.store.digest)
        tried = Version(model_name, version, uri, digest, _named(more.pop("artifact_ref", None)))
        event = tried.rollout(revision, champion_epoch=champion_epoch, **more)
        on_rollout_changed(self.reconciler, new_envelope(event, source="test"))

    def tried(self, model_name: str = "flights") -> tuple[int, int] | None:
        """The version that is tried, and the step."""
        state = self.reconciler.state(model_name)
        if state is None or state.trial is None:
            return None
        return state.trial.version.desired.artifact.model_version, state.trial.desired.step

    def active(self, model_name: str = "flights") -> tuple[int, int] | None:
        state = self.reconciler.state(model_name)
        if state is None or state.active is None:
            return None
        return state.active.desired.artifact.model_version, state.active.desired.order

    def seen(self) -> list[tuple[type[Event], int, int]]:
        return [
            (type(event), event.model_version, event.epoch)
            for event in self.reports
            if isinstance(event, ModelLoaded | ModelLoadFailed) and event.epoch is not None
        ]


def _named(artifact_ref: tuple[str, str] | None) -> contracts.ServingArtifact | None:
    return None if artifact_ref is None else contracts.ServingArtifact(uri=artifact_ref[0], digest=artifact_ref[1])


async def until(probe: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not probe():  # noqa: ASYNC110  # the state of another task, polled
            await asyncio.sleep(0.005)


def run_bench(folder: Path, scenario: Callable[[Bench], Any], estimator: Any = None, **settings: Any) -> None:
    async def main() -> None:
        bench = Bench(folder, estimator, **settings)
        try:
            await scenario(bench)
        finally:
            bench.store.unblock.set()
            await bench.reconciler.stop()

    asyncio.run(main())
