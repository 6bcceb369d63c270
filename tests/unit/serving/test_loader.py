"""The executor with a download of the test's own: what hangs, breaks or is overtaken never holds anything up."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import Permanent, Transient
from contracts import Cause, Envelope, Event, ModelLoaded, ModelLoadFailed, Promoted, new_envelope
from serving.cache import ArtifactCache
from serving.handlers import on_promoted
from serving.loader import Loader
from serving.settings import Settings
from support.versions import pipeline, save

DEADLINE = 60.0


class Store:
    """Stands for the registry: real artifacts on disk, and a URI that hangs, is away, or is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digest = save(pipeline(), folder / "model")
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
        return Path(shutil.copytree(self.folder / "model", into / "model"))


class Bench:
    """A loader, and what it reported."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.store = Store(folder)
        self.reports: list[Event] = []
        self.cache = ArtifactCache(folder / "cache", 10**9)
        options = {"retry_first_seconds": 0.01, "retry_limit_seconds": 0.02, **settings}
        self.loader = Loader(Settings(_env_file=None, **options), self.cache, self.store.download, self.report)
        self.caught_up = asyncio.Event()
        self.loader.hold_until(self.caught_up)

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
        )
        on_promoted(self.loader, new_envelope(event, source="test"))

    def answering(self, model_name: str = "flights") -> tuple[int, int] | None:
        slot = self.loader.slot(model_name)
        if slot is None or slot.answering is None:
            return None
        return slot.answering.wanted.artifact.model_version, slot.answering.wanted.order

    def seen(self) -> list[tuple[type[Event], int, int]]:
        return [
            (type(event), event.model_version, event.epoch)
            for event in self.reports
            if isinstance(event, ModelLoaded | ModelLoadFailed) and event.epoch is not None
        ]


async def until(probe: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not probe():  # noqa: ASYNC110  # the state of another task, polled
            await asyncio.sleep(0.005)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def run_scenario(scenario: Callable[[Bench], Any], **settings: Any) -> None:
        async def main() -> None:
            bench = Bench(tmp_path, **settings)
            try:
                await scenario(bench)
            finally:
                bench.store.unblock.set()
                await bench.loader.stop()

        asyncio.run(main())

    return run_scenario


def test_nothing_is_fetched_before_all_is_known_and_then_only_the_newest(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        for epoch in range(1, 50):
            bench.promote(epoch, version=epoch, uri="gone")
        with pytest.raises(Transient, match="still reading"):
            bench.loader.check()
        bench.promote(50, version=7)
        await asyncio.sleep(0)
        assert bench.store.fetched == []
        bench.caught_up.set()
        await until(lambda: bench.answering() == (7, 50))
        assert bench.store.fetched == ["here"]
        bench.loader.check()

    run(scenario)


def test_a_rollback_does_not_wait_for_a_download_that_hangs(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, version=1)
        await until(lambda: bench.answering() == (1, 1))
        bench.promote(2, version=2, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: "hangs" in bench.store.fetched)
        bench.promote(3, version=1)
        await until(lambda: bench.answering() == (1, 3))
        assert not bench.store.unblock.is_set()
        bench.store.unblock.set()  # what arrives late changes nothing
        bench.promote(1, version=1, model_name="another")
        await until(lambda: bench.answering("another") == (1, 1))
        assert bench.answering() == (1, 3)
        assert bench.seen()[:2] == [(ModelLoaded, 1, 1), (ModelLoaded, 1, 3)]

    run(scenario)


def test_downloads_that_hang_do_not_keep_the_process_from_ending(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: "hangs" in bench.store.fetched)
        await bench.loader.stop()

    run(scenario)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "fetch")


def test_a_step_that_takes_too_long_is_a_failure_that_is_tried_again(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: bench.store.fetched == ["hangs", "hangs"])
        (failure,) = [event for event in bench.reports if isinstance(event, ModelLoadFailed)]
        assert "SERVING_STEP_SECONDS" in failure.reason

    run(scenario, step_seconds=0.1)


def test_transient_failures_are_tried_again_and_reported_once(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.failures_left = 4
        bench.caught_up.set()
        bench.promote(1)
        await until(lambda: bench.loader.slot("flights").failure)  # type: ignore[union-attr]
        with pytest.raises(Transient, match=r"flights version 1 \(attempt \d failed: MLflow is away\)"):
            bench.loader.check()
        await until(lambda: bench.answering() == (1, 1))
        assert len(bench.store.fetched) == 5
        assert bench.seen() == [(ModelLoadFailed, 1, 1), (ModelLoaded, 1, 1)]
        bench.loader.check()

    run(scenario)


@pytest.mark.parametrize(("uri", "said"), [("gone", "no such artifact"), ("foreign", "botocore")])
def test_a_permanent_failure_is_not_tried_again_until_a_newer_epoch(
    run: Callable[..., None], uri: str, said: str
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, uri=uri)
        await until(lambda: bench.reports)
        (failure,) = bench.reports
        assert isinstance(failure, ModelLoadFailed) and said in failure.reason
        bench.loader.check()  # definitively failed: it does not keep the replica from being ready
        bench.promote(1, uri="here")
        await asyncio.sleep(0.1)  # longer than every retry
        assert bench.store.fetched == [uri]
        bench.promote(2, uri="here")
        await until(lambda: bench.answering() == (1, 2))

    run(scenario)


def test_a_replica_that_was_ready_stays_ready_while_the_next_version_loads(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        await until(lambda: bench.answering() == (1, 1))
        bench.loader.check()
        bench.promote(2, version=2, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: "hangs" in bench.store.fetched)
        bench.loader.check()

    run(scenario)
