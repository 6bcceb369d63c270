"""Measurements that a gate may require."""

from __future__ import annotations

from enum import StrEnum


class Need(StrEnum):
    CANDIDATE = "the candidate loaded and asked"
    CHAMPION = "the champion's answers to the golden rows"
    TRAINING_KEYS = "which golden rows either model was trained on"
    DIRTY_ROWS = "the candidate's answers to dirty golden rows"
    CHAMPION_TIMING = "the champion's predictions timed"
