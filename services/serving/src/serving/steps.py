"""The blocking steps that bring a version into memory, and what it takes there."""

from __future__ import annotations

from pathlib import Path

from serving.cache import size_of
from serving.compiling import compile_model
from serving.memory import Growth
from serving.models import load, warm_up
from serving.policy import Artifact
from serving.settings import Settings
from serving.slots import Kept


def bring_in(artifact: Artifact, folder: Path, settings: Settings) -> Kept:
    """Raises Permanent for what will never load, Transient when the machine is short of something."""
    with Growth(exact=settings.memory_mb > 0) as growth:
        model = load(artifact, folder)
    return Kept(model, size=max(growth.bytes, size_of(folder)))


def make_warm(kept: Kept, settings: Settings) -> bool:
    """True. Raises Permanent when the model does not answer its own example as it should."""
    with Growth(exact=settings.memory_mb > 0) as growth:
        warm_up(kept.model)
    kept.size += growth.bytes
    return True


def compile_form(kept: Kept, settings: Settings) -> bool:
    """True. From its end on the model answers by its compiled form, if there is one."""
    with Growth(exact=settings.memory_mb > 0) as growth:
        if settings.compile:
            kept.served = compile_model(kept.model, settings.parity_tolerance)
    kept.size += growth.bytes
    return True
