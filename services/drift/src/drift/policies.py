"""Drift rules of models with and without a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from contracts import OutputFormat
from contracts.drift_settings import Benchmark, Drift
from contracts.policy import ModelPolicy


@dataclass(frozen=True)
class DriftPolicies:
    """The policies by model name, as they are now: a job reads what it needs at its beginning.

    A model without a policy is monitored with the defaults.
    """

    policies: Mapping[str, ModelPolicy]

    def drift(self, model_name: str) -> Drift:
        policy = self.policies.get(model_name)
        return policy.drift if policy else Drift()

    def label_maturity(self, model_name: str) -> timedelta:
        """Return the age that the policy states; 0 where it states none."""
        policy = self.policies.get(model_name)
        return policy.label_maturity if policy else timedelta(0)

    def metric(self, model_name: str, promoted: str | None) -> str | None:
        """Return the metric that the promotion named, else the policy's."""
        policy = self.policies.get(model_name)
        return promoted or (policy.metric if policy and policy.states_metric else None)

    def benchmark(self, model_name: str) -> Benchmark | None:
        """Return the schedule of benchmarks; None: there is none."""
        policy = self.policies.get(model_name)
        return policy.benchmark if policy else None

    def benchmarks(self) -> dict[str, Benchmark]:
        """Return the schedules, of the models that have one."""
        return {name: policy.benchmark for name, policy in self.policies.items() if policy.benchmark is not None}

    def label(self, model_name: str) -> str | None:
        policy = self.policies.get(model_name)
        return policy.label if policy else None

    def entity(self, model_name: str) -> str | None:
        policy = self.policies.get(model_name)
        return policy.entity if policy else None

    def output(self, model_name: str, promoted: OutputFormat | None) -> OutputFormat | None:
        """Return how predictions are read: as the promotion says, else by the problem that the policy states."""
        policy = self.policies.get(model_name)
        return promoted or (OutputFormat(problem=policy.problem) if policy and policy.states_problem else None)
