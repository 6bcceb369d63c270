"""The file of roles a model (AUTH_ROLES_FILE)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chassis.auth.roles import Effect, Role, Rule
from chassis.yaml_file import parse_yaml

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class RuleEntry(BaseModel):
    """One rule; see `Rule`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    subjects: tuple[Pattern, ...] = Field(min_length=1)
    models: tuple[Pattern, ...] = Field(default=("*",), min_length=1)
    effect: Effect = Effect.ALLOW


class RolesFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[RuleEntry, ...]


def parse_roles(content: bytes, path: Path) -> tuple[Rule, ...]:
    """Return the rules. Raises YamlError, which names line, key and value."""
    entries = parse_yaml(content, path, RolesFile, "file of roles", "rules:").rules
    return tuple(Rule(entry.role, entry.subjects, entry.models, entry.effect) for entry in entries)
