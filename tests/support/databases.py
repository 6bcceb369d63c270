"""On which kinds of database a test runs: on both if its proof is of SQL, locks or transactions; on one if of logic."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

import pytest

DATABASES = ("sqlite", "postgres")

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
"""For a test whose service makes the same statements as those of a test that runs on both: starting one takes seconds.

The tests of a file take turns, so that each kind of fault (a process killed, doubled, hung, cut off) meets each kind of
database somewhere.
"""


def taking_turns(name: str, *values: object) -> pytest.MarkDecorator:
    """Parametrises with `values`, each on one kind of database, the next on the other; the rest is `exhaustive`."""
    pairs = [
        pytest.param(value, kind, marks=() if kind == DATABASES[number % len(DATABASES)] else pytest.mark.exhaustive)
        for number, value in enumerate(values)
        for kind in DATABASES
    ]
    return pytest.mark.parametrize((name, "database_url"), pairs, indirect=["database_url"])


SHARED_SERVICES = ("gatekeeper", "drift")
"""Fixtures of services that run on each kind of database, for the tests of a folder."""


def on_one_of_both(items: Iterable[pytest.Item]) -> None:
    """Leave the second kind of database of a shared service to `make test-all`: about half of the tests run on each.

    What is about a database itself (locks, crashes, restores) starts services of its own, and keeps both.
    """
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        kind = next((params[name] for name in SHARED_SERVICES if params.get(name) in DATABASES), None)
        same = item.nodeid.replace(str(kind), "")  # of a test, and of its other parameters
        if kind is not None and kind != DATABASES[crc32(same.encode()) % len(DATABASES)]:
            item.add_marker(pytest.mark.exhaustive)
