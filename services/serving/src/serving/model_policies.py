"""What the models' policies say of serving them; the rest of a policy is for the other services."""

from __future__ import annotations

from collections.abc import Mapping

from chassis.policies import load_policies
from contracts.policy import ModelPolicy
from serving.settings import Settings


def policies_of(settings: Settings) -> dict[str, ModelPolicy]:
    """By model name; none where there is no folder that nobody asked for. Raises PolicyError."""
    if "policies_dir" not in settings.model_fields_set and not settings.policies_dir.is_dir():
        return {}
    return load_policies(settings.policies_dir)


def parity_tolerances(policies: Mapping[str, ModelPolicy]) -> dict[str, float]:
    """By model name, of the policies that have one."""
    found = {name: policy.serving.parity_tolerance for name, policy in policies.items()}
    return {name: tolerance for name, tolerance in found.items() if tolerance is not None}


def prediction_shares(policies: Mapping[str, ModelPolicy]) -> dict[str, float]:
    """By model name, of the policies that have one."""
    found = {name: policy.serving.prediction_share for name, policy in policies.items()}
    return {name: share for name, share in found.items() if share is not None}
