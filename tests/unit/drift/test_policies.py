"""What drift takes from a policy where the promotion does not say it: only what the policy states."""

from contracts import OutputFormat
from contracts.policy import ModelPolicy
from drift.policies import DriftPolicies


def policies(**stated):
    return DriftPolicies({"m": ModelPolicy.model_validate({"model": "m", **stated})})


def test_the_promotion_comes_first_then_what_the_policy_states():
    promoted = OutputFormat(problem="multiclass", classes=("a", "b", "c"))
    stated = policies(problem="regression", metric="rmse")
    assert (stated.output("m", promoted), stated.metric("m", "accuracy")) == (promoted, "accuracy")
    assert (stated.output("m", None), stated.metric("m", None)) == (OutputFormat(problem="regression"), "rmse")


def test_a_default_of_the_policy_is_no_statement_about_an_old_promotion():
    silent = policies()
    assert (silent.output("m", None), silent.metric("m", None)) == (None, None)
    assert (silent.output("other", None), silent.metric("other", None)) == (None, None)
