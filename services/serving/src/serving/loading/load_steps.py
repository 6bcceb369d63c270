"""The blocking steps that bring a version into memory, and what it takes there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from chassis.artifact_cache import ArtifactCache, size_of
from serving.inference.model import warm_up
from serving.loading import serving_artifact
from serving.loading.compilation import compile_model
from serving.loading.memory import RssDelta
from serving.loading.model_state import LoadedVersion
from serving.policy.versions import DesiredVersion
from serving.settings import Settings

Download = Callable[[str, Path], Path]
"""Fetch a URI into a folder. Returns where it is; raises Transient or Permanent."""


class Source:
    """Where versions come from: this machine's cache, and the registry for what is not there."""

    def __init__(self, cache: ArtifactCache, download: Download) -> None:
        self.cache = cache
        self._download = download
        self._tried: set[str] = set()
        """Digests of serving artifacts that were looked for; each once, since models are served without, too."""

    def holds(self, desired: DesiredVersion | None) -> bool:
        """All of it that can be had is in the cache."""
        if desired is None or not self.cache.holds(desired.artifact.digest):
            return False
        given = desired.artifact_ref
        return given is None or given.digest in self._tried or self.cache.holds(given.digest)

    def fetch(self, desired: DesiredVersion) -> bool:
        """True. Blocks; raises Transient and Permanent."""
        if desired.artifact_ref is not None and desired.artifact_ref.digest not in self._tried:
            self._tried.add(desired.artifact_ref.digest)
            serving_artifact.fetch(self.cache, desired.artifact_ref, self._download)
        if not self.cache.holds(desired.artifact.digest):
            self.cache.add(desired.artifact.digest, partial(self._download, desired.uri))
        return True


def bring_in(source: Source, desired: DesiredVersion, settings: Settings) -> LoadedVersion:
    """Raises Permanent for what will never load, Transient when the machine is short of something."""
    from serving.inference.mlflow_model import load  # MLflow: not before the first model

    given = serving_artifact.found(source.cache, desired.artifact_ref) if desired.artifact_ref else None
    folder = source.cache.verified(desired.artifact.digest)
    with RssDelta(exact=settings.memory_mb > 0) as rss:
        model = load(desired.artifact, folder)
    return LoadedVersion(model, size=max(rss.bytes, size_of(folder)), given=given)


def make_warm(loaded: LoadedVersion, settings: Settings, tolerance: float | None) -> bool:
    """True. From its end on the model answers by the form that was proven at the gate, if there is one.

    `tolerance` is of the scores of a form; None for no form at all. Raises Permanent when the model does not answer as
    it should.
    """
    given = loaded.given
    with RssDelta(exact=settings.memory_mb > 0) as rss:
        if given is None:
            warm_up(loaded.model)
        else:
            choice = serving_artifact.warm_up(loaded.model, given, tolerance)
            if choice is not None:
                loaded.served, loaded.compiled = choice, True
    loaded.given = None  # not before: what does not pass is not warmed up by less the next time
    loaded.size += rss.bytes
    return True


def compile_form(loaded: LoadedVersion, settings: Settings, tolerance: float | None) -> bool:
    """True. From its end on the model answers by its compiled form, if there is one."""
    with RssDelta(exact=settings.memory_mb > 0) as rss:
        if tolerance is not None:
            loaded.served = compile_model(loaded.model, tolerance)
    loaded.size += rss.bytes
    return True
