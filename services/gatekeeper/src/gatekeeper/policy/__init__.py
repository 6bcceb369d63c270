"""Decisions: pure functions from measured facts to a verdict with its reasons."""

from __future__ import annotations
