"""The stages of a probe in the sandbox; gates name the stage that a model failed in."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """In order; the text completes "it … while …"."""

    STARTING = "starting"
    LOADING = "loading"
    EXAMPLE = "answering the input example"
    GOLDEN = "answering the golden rows"
    ALONE = "answering single rows"
    DIRTY = "answering dirty rows"
    TIMING = "answering one row at a time"
    BATCH = "answering a batch of rows at a time"
    DONE = "ending"

    @property
    def order(self) -> int:
        return list(Stage).index(self)
