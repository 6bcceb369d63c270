"""The files that the two sides of the sandbox exchange in its scratch folder."""

from __future__ import annotations

from enum import StrEnum

REQUEST = "request.json"
FACTS = "facts.json"
FEATURES = "features.parquet"
FIRST, SECOND, GOLDEN = "first.npy", "second.npy", "golden.npy"
SECONDS, BATCH_SECONDS = "seconds.npy", "batch-seconds.npy"
FORM = "form.bin"


def dirty(name: str, suffix: str) -> str:
    """Of one kind of dirty rows: `parquet` goes in, `npy` comes out."""
    return f"dirty-{name}.{suffix}"


class Stage(StrEnum):
    """How far a probe came, in order; the text completes "it … while …"."""

    STARTING = "starting"
    LOADING = "loading"
    EXAMPLE = "answering the input example"
    GOLDEN = "answering the golden rows"
    DIRTY = "answering dirty rows"
    TIMING = "answering one row at a time"
    BATCH = "answering a batch of rows at a time"
    DONE = "ending"

    @property
    def order(self) -> int:
        return list(Stage).index(self)
