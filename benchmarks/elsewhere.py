"""Load versions as a replica does, in a process that serves no requests: measures the cost to others of sharing the
machine, as opposed to sharing the interpreter."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from chassis.artifact_cache import ArtifactCache
from chassis.registry import Registry
from serving.loading.library_warmup import warm_up_libraries
from serving.loading.load_steps import Source, bring_in, make_warm
from serving.policy.versions import Artifact, DesiredVersion, ServingArtifactRef
from serving.settings import Settings
from support.versions import Version

CACHE_BYTES = 10 * 2**30


def _serve(orders: Connection, folder: Path, tracking_uri: str) -> None:
    warm_up_libraries()
    source = Source(ArtifactCache(folder, CACHE_BYTES), Registry(tracking_uri).download)
    settings = Settings(_env_file=None)
    orders.send(None)
    while (wanted := orders.recv()) is not None:
        source.fetch(wanted)
        make_warm(bring_in(source, wanted, settings), settings, settings.parity_tolerance)
        orders.send(None)


@contextmanager
def elsewhere(folder: Path, tracking_uri: str) -> Iterator[Callable[[Version], None]]:
    """Yield a function that loads a version in that process, and waits for it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, folder, tracking_uri), daemon=True)
    process.start()
    theirs.close()  # so that its end is noticed here

    def load(version: Version) -> None:
        artifact = Artifact(version.model_name, version.model_version, version.digest)
        beside = ServingArtifactRef(version.beside.uri, version.beside.digest) if version.beside else None
        ours.send(DesiredVersion(artifact, version.uri, 1, 1, beside))
        ours.recv()

    try:
        ours.recv()
        yield load
        ours.send(None)
        process.join(30)
    finally:
        process.terminate()
