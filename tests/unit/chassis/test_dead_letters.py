"""A dead letter gives back exactly what went in."""

from __future__ import annotations

import pytest

from contracts.cloudevents import Headers, Record
from contracts.dead_letters import DeadLetter, letter_for


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"churn", b'{"a": 1}', [("ce_id", b"1")]),
        (None, b"\xff\xfe", []),
        (b"", b"", [("blob", b"\xff")]),
        (b"churn", None, [("null", None), ("ce_id", b"1"), ("ce_id", b"2")]),
    ],
)
def test_original_bytes_and_headers_come_back(key: bytes | None, value: bytes | None, headers: Headers) -> None:
    letter = letter_for(
        Record("training", key, value, headers), service="trainer", partition=3, offset=17, error="bad", attempts=2
    )
    _, body, encoded = letter.encode()
    back = DeadLetter.decode(body, encoded)
    assert (back.key, back.value) == (key, value)
    assert sorted(back.headers, key=str) == sorted(headers, key=str)
    assert back.id == "trainer:training:3:17"
    assert (back.error, back.attempts, back.time) == ("bad", 2, letter.time)


def test_a_copy_has_the_same_key_so_that_compaction_keeps_one() -> None:
    record = Record("training", b"k", b"v", ())
    first, again = (
        letter_for(record, service="s", partition=0, offset=1, error=error, attempts=1) for error in ("a", "b")
    )
    assert first.encode()[0] == again.encode()[0]
