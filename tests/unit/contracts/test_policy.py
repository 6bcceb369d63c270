"""A policy's digest: it changes with what gates depend on, and with nothing else."""

from __future__ import annotations

import hashlib

from contracts.policy import ModelPolicy


def test_a_key_that_was_added_later_changes_no_digest_where_it_is_left_out() -> None:
    """Or every version that was judged before would count as judged under another policy."""
    plain = ModelPolicy.model_validate({"model": "m"})
    before = plain.model_dump_json(exclude={"features", "serving", "label"})
    assert plain.digest == "sha256:" + hashlib.sha256(before.encode()).hexdigest()
    assert ModelPolicy.model_validate({"model": "m", "label": "late"}).digest != plain.digest
