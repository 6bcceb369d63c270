"""The blocking steps that load a version into memory, and the memory it takes."""

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
"""Fetch a URI into a folder. Returns its path; raises Transient or Permanent."""


class Source:
    """Where versions are loaded from: this machine's cache, or the registry on a cache miss."""

    def __init__(self, cache: ArtifactCache, download: Download) -> None:
        self.cache = cache
        self._download = download
        self._tried: set[str] = set()
        """Digests of serving artifacts that were tried; each only once, since models are served without, too."""

    def holds(self, desired: DesiredVersion | None) -> bool:
        """Return whether everything available of `desired` is in the cache."""
        if desired is None or not self.cache.holds(desired.artifact.digest):
            return False
        given = desired.artifact_ref
        return given is None or given.digest in self._tried or self.cache.holds(given.digest)

    def fetch(self, desired: DesiredVersion) -> bool:
        """Fetch `desired` into the cache; return True. Blocks. Raises Transient and Permanent."""
        if desired.artifact_ref is not None and desired.artifact_ref.digest not in self._tried:
            self._tried.add(desired.artifact_ref.digest)
            serving_artifact.fetch(self.cache, desired.artifact_ref, self._download)
        if not self.cache.holds(desired.artifact.digest):
            self.cache.add(desired.artifact.digest, partial(self._download, desired.uri))
        return True


def bring_in(source: Source, desired: DesiredVersion, settings: Settings, *, isolated: bool = False) -> LoadedVersion:
    """Load `desired` from the cache; if `isolated`, so that none of its own code runs in this process.

    Raises Permanent for what will never load, Transient when resources are short.
    """
    from serving.inference.hosted_model import brings_code
    from serving.inference.mlflow_model import load  # MLflow: not before the first model

    given = serving_artifact.found(source.cache, desired.artifact_ref) if desired.artifact_ref else None
    folder = source.cache.verified(desired.artifact.digest)
    with RssDelta(exact=settings.memory_mb > 0) as rss:
        model = load(desired.artifact, folder, settings.step_seconds, isolated=isolated)
    size = max(rss.bytes, size_of(folder)) + getattr(model.pyfunc, "resident_bytes", 0)
    return LoadedVersion(model, size=size, given=given, isolated=isolated and not brings_code(folder))


def make_warm(loaded: LoadedVersion, settings: Settings, tolerance: float | None) -> bool:
    """True. From its end on the model answers by the form that was proven at the gate, if there is one.

    `tolerance` applies to the scores of a compiled model; None disables compiled models. Raises Permanent when the
    model's predictions are wrong.
    """
    given = loaded.given
    with RssDelta(exact=settings.memory_mb > 0) as rss:
        if given is None:
            warm_up(loaded.model)
        else:
            choice = serving_artifact.warm_up(loaded.model, given, tolerance)
            if choice is not None:
                loaded.served, loaded.compiled = choice, True
    if hasattr(loaded.model.pyfunc, "call_seconds"):  # in a process of its own: nobody waits for an answer any longer
        loaded.model.pyfunc.call_seconds = settings.request_seconds
    loaded.given = None  # not before: what does not pass is not warmed up by less the next time
    loaded.size += rss.bytes
    return True


def moved_in(source: Source, desired: DesiredVersion, settings: Settings, tolerance: float | None) -> LoadedVersion:
    """Return `desired`, loaded in this process and warm. Raises as `bring_in` and `make_warm`."""
    loaded = bring_in(source, desired, settings)
    loaded.warm = make_warm(loaded, settings, tolerance)
    return loaded


def compile_form(loaded: LoadedVersion, settings: Settings, tolerance: float | None) -> bool:
    """True. From its end on the model answers by its compiled form, if there is one."""
    with RssDelta(exact=settings.memory_mb > 0) as rss:
        if tolerance is not None:
            loaded.served = compile_model(loaded.model, tolerance)
    loaded.size += rss.bytes
    return True
