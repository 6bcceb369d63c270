"""The serving part of the models' policies; the rest of a policy is for the other services."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from chassis.policy_store import PolicyStore
from contracts.policy import ModelPolicy
from contracts.runtime_settings import Serving
from serving.settings import Settings


def policies_of(settings: Settings) -> PolicyStore:
    """Return the policies by model name; none while the default folder does not exist."""
    return PolicyStore(settings.policies_dir, required="policies_dir" in settings.model_fields_set)


class PolicyValues(Mapping[str, float]):
    """One value of the policies as they are now, by model name; without models whose policy leaves it out."""

    def __init__(self, policies: Mapping[str, ModelPolicy], read: Callable[[Serving], float | None]) -> None:
        self._policies, self._read = policies, read

    def __getitem__(self, model_name: str) -> float:
        if (value := self._read(self._policies[model_name].serving)) is None:
            raise KeyError(model_name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name, policy in self._policies.items() if self._read(policy.serving) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def parity_tolerances(policies: Mapping[str, ModelPolicy]) -> PolicyValues:
    """Return the parity tolerances; a changed one applies to versions that are loaded from then on."""
    return PolicyValues(policies, lambda serving: serving.parity_tolerance)


def prediction_shares(policies: Mapping[str, ModelPolicy]) -> PolicyValues:
    """Return the shares of the requests for which PredictionMade is published."""
    return PolicyValues(policies, lambda serving: serving.prediction_share)
