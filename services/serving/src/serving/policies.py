"""The serving part of the models' policies; the rest of a policy is for the other services."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chassis.policies import load_policies
from contracts.policy import ModelPolicy
from contracts.runtime_settings import Serving
from serving.settings import Settings


def policies_of(settings: Settings) -> dict[str, ModelPolicy]:
    """Return policies by model name; none when the default folder does not exist. Raises PolicyError."""
    if "policies_dir" not in settings.model_fields_set and not settings.policies_dir.is_dir():
        return {}
    return load_policies(settings.policies_dir)


def parity_tolerances(policies: Mapping[str, ModelPolicy]) -> dict[str, float]:
    """Return the parity tolerances by model name, of the policies that have one."""
    return _said(policies, lambda serving: serving.parity_tolerance)


def prediction_shares(policies: Mapping[str, ModelPolicy]) -> dict[str, float]:
    """Return the prediction shares by model name, of the policies that have one."""
    return _said(policies, lambda serving: serving.prediction_share)


def _said(policies: Mapping[str, ModelPolicy], read: Callable[[Serving], float | None]) -> dict[str, float]:
    return {name: value for name, policy in policies.items() if (value := read(policy.serving)) is not None}
