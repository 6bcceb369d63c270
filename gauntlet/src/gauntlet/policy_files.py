"""Policies that a command is given as files, or that the gatekeeper has in force."""

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


def policy_in_force(model: str, gatekeeper: str | None, data_dir: Path) -> ModelPolicy | None:
    """Return the policy that the gatekeeper judges by; None for a model without one, or without versions."""
    from gauntlet.service_client import ServiceError, gatekeeper_client

    try:
        found = gatekeeper_client(gatekeeper, data_dir).get(f"/models/{model}/policy")
        return ModelPolicy.model_validate(found["policy"])
    except ServiceError as error:
        if error.status == 404 and "title" in error.problem:
            return None
        raise
