"""The contracts' dead letters under the chassis' name: what services import."""

from __future__ import annotations

from contracts.dead_letters import DeadLetter, letter_for

__all__ = ["DeadLetter", "letter_for"]
