"""On which kinds of database a test runs: on both if its proof is of SQL, locks or transactions; on one if of logic."""

from __future__ import annotations

import pytest

DATABASES = ("sqlite", "postgres")

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
"""For a test whose service makes the same statements as those of a test that runs on both: starting one takes seconds.

The tests of a file take turns, so that each kind of fault (a process killed, doubled, hung, cut off) meets each kind of
database somewhere.
"""


def taking_turns(name: str, *values: object) -> pytest.MarkDecorator:
    """Parametrises with `values`, each on one kind of database, the next on the other."""
    pairs = [(value, DATABASES[number % len(DATABASES)]) for number, value in enumerate(values)]
    return pytest.mark.parametrize((name, "database_url"), pairs, indirect=["database_url"])
