"""Policies that a command is given as files."""

from __future__ import annotations

from pathlib import Path

from chassis.policies import PolicyError, load_policy
from contracts.policy import ModelPolicy
from gauntlet.errors import CliError


def policy_in(file: Path) -> ModelPolicy:
    """Return the policy of a file. Raises CliError for an invalid one."""
    try:
        return load_policy(file)
    except PolicyError as error:
        raise CliError(str(error), "See: gauntlet policy check FILE") from error
