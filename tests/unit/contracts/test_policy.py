"""A policy's digest: it changes with what gates depend on, and with nothing else."""

from __future__ import annotations

import hashlib

from contracts.policy import ModelPolicy

WITH_ROBUSTNESS = "sha256:2f5c6e9f73014bf608b80bfad110cb9e16a11c818469e1afdbe913a22aebff24"
"""Of a policy with that gate, before it had the key `unseen_as_known`."""


LATER_KEYS = {
    **dict.fromkeys(("features", "serving", "label", "staging", "watch", "supersede", "label_maturity"), True),
    "benchmark": True,
    "drift": {"budget", "after", "retrain", "alerts"},
}


def test_a_key_that_was_added_later_changes_no_digest_where_it_is_left_out() -> None:
    """Or every version that was judged before would count as judged under another policy."""
    written = {"model": "m", "problem": "binary"}
    plain = ModelPolicy.model_validate(written)
    before = plain.model_dump_json(exclude=LATER_KEYS)
    before = before.replace('"metric_drop":{"relative":0.05}', '"metric_drop":0.05')  # the default of then
    before = before.replace('"drift_share":null', '"drift_share":0.5')
    assert plain.digest == "sha256:" + hashlib.sha256(before.encode()).hexdigest()
    assert '"strategy":"direct","approval":"none"' in before
    for key, value in {
        "label": "late",
        "staging": "smoke",
        "watch": True,
        "label_maturity": "1h",
        "benchmark": True,
    }.items():
        assert ModelPolicy.model_validate({**written, key: value}).digest != plain.digest


def test_nor_does_a_later_key_of_a_gate() -> None:
    written = {"model": "m", "problem": "binary", "gates": {"robustness": {"rows": 500}}}
    plain = ModelPolicy.model_validate(written)
    assert plain.digest == WITH_ROBUSTNESS
    failing = {**written, "gates": {"robustness": {"rows": 500, "unseen_as_known": "fail"}}}
    assert ModelPolicy.model_validate(failing).digest != plain.digest


def test_a_policy_that_is_read_again_from_evidence_has_the_same_digest() -> None:
    drifts = [
        {},
        {"metric_drop": 0.1},
        {"metric_drop": {"relative": 0.1}},
        {"metric_drop": {"absolute": 3}},
        {"drift_share": 0.2},
        {"budget": {"per_windows": 50}, "after": "1 of 2", "retrain": "on harmful", "alerts": {"mape": 0.2}},
    ]
    for drop in drifts:
        policy = ModelPolicy.model_validate({"model": "m", "problem": "regression", "metric": "mae", "drift": drop})
        assert ModelPolicy.model_validate_json(policy.model_dump_json()).digest == policy.digest
