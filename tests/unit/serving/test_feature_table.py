"""A table of features becomes rows as a client would send them; what cannot is named with table and column."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sql

from chassis.errors import Permanent, Transient
from chassis.model_signature import Column, Signature
from contracts.policy import ModelPolicy
from serving.features.sources import sources
from serving.features.table import FeatureTable, jsonable
from serving.settings import Settings

SIGNATURE = Signature((Column("x", "double"), Column("note", "string", required=False)), event_time="at")


@pytest.fixture
def engine(tmp_path: Path) -> sql.Engine:
    return sql.create_engine(f"sqlite:///{tmp_path / 'features.db'}")


def table(engine: sql.Engine, *statements: str, key: str = "id") -> FeatureTable:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sql.text(statement))
    return FeatureTable(engine, "t", key, "URL")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "double", None),
        (1.5, "double", 1.5),
        (float("nan"), "double", None),
        (Decimal("1.50"), "double", 1.5),
        (Decimal("2.00"), "double", 2.0),
        (Decimal("2.00"), "long", 2),
        (Decimal("2.5"), "long", 2.5),
        (Decimal("NaN"), "double", None),
        (1, "boolean", True),
        (2, "boolean", 2),
        (1, "long", 1),
        (True, "boolean", True),
        (date(2013, 6, 1), "datetime", "2013-06-01"),
        (datetime(2013, 6, 1, 12, tzinfo=UTC), "datetime", "2013-06-01T12:00:00+00:00"),
        (UUID(int=1), "string", "00000000-0000-0000-0000-000000000001"),
        (timedelta(hours=1), "string", "1:00:00"),
    ],
)
def test_a_value_as_a_client_would_send_it(value: Any, kind: str, expected: Any) -> None:
    found = jsonable(value, kind)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("value", [b"x", [1], {"a": 1}])
def test_what_is_no_scalar_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        jsonable(value, "string")


def test_extra_columns_are_ignored_and_optional_ones_may_be_missing(engine: sql.Engine) -> None:
    source = table(
        engine,
        "CREATE TABLE t (id TEXT, x NUMERIC(8, 2), at TIMESTAMP, other BLOB)",
        "INSERT INTO t VALUES ('a', 1.25, '2013-06-01 12:00:00', x'00'), ('b', NULL, NULL, NULL)",
    )
    found = source.read(["a", "b", "c"], SIGNATURE)
    assert found == {"a": {"x": 1.25, "at": "2013-06-01T12:00:00"}, "b": {"x": None, "at": None}}


def test_ids_of_a_column_of_numbers(engine: sql.Engine) -> None:
    source = table(engine, "CREATE TABLE t (id BIGINT, x REAL)", "INSERT INTO t VALUES (12, 1.0)")
    assert source.read(["12"], SIGNATURE) == {"12": {"x": 1.0}}
    never = ["012", " 12", "x", "1" * 5000, str(2**63), "12\0", "١٢"]
    assert source.read(never, SIGNATURE) == {}


def test_more_ids_than_one_query_takes(engine: sql.Engine) -> None:
    rows = ", ".join(f"('{number}', {number})" for number in range(2500))
    source = table(engine, "CREATE TABLE t (id TEXT, x REAL)", f"INSERT INTO t VALUES {rows}")
    found = source.read([str(number) for number in range(2500)], SIGNATURE)
    assert found["2499"] == {"x": 2499.0} and len(found) == 2500


@pytest.mark.parametrize(
    ("create", "named"),
    [
        ("CREATE TABLE u (id TEXT)", "table 't': there is no such table"),
        ("CREATE TABLE t (id TEXT, y REAL)", "table 't': it has no column 'x', which the model takes"),
        ("CREATE TABLE t (ids TEXT, x REAL)", "no column 'id' (the policy's features.key); did you mean 'ids'?"),
        ("CREATE TABLE t (id TEXT, x BLOB)", "column 'x' has a value of type bytes"),
    ],
)
def test_a_table_that_is_not_as_it_should_be(engine: sql.Engine, create: str, named: str) -> None:
    insert = ["INSERT INTO t VALUES ('a', x'00')"] if "(id TEXT, x" in create else []
    with pytest.raises(Permanent) as error:
        table(engine, create, *insert).read(["a"], SIGNATURE)
    assert named in str(error.value)


def test_a_table_that_was_mended_is_seen(engine: sql.Engine) -> None:
    source = table(engine, "CREATE TABLE t (id TEXT)", "INSERT INTO t VALUES ('a')")
    with pytest.raises(Permanent, match="no column 'x'"):
        source.read(["a"], SIGNATURE)
    table(engine, "ALTER TABLE t ADD COLUMN x REAL DEFAULT 1")
    assert source.read(["a"], SIGNATURE) == {"a": {"x": 1.0}}


def test_two_rows_of_one_id_are_no_answer(engine: sql.Engine) -> None:
    source = table(engine, "CREATE TABLE t (id TEXT, x REAL)", "INSERT INTO t VALUES ('a', 1), ('a', 2)")
    with pytest.raises(Permanent, match="more than one row with id 'a'"):
        source.read(["a"], SIGNATURE)


def test_a_database_that_is_away_is_transient(tmp_path: Path) -> None:
    engine = sql.create_engine(f"sqlite:///{tmp_path / 'nowhere' / 'features.db'}")
    with pytest.raises(Transient, match="table 't' does not answer"):
        FeatureTable(engine, "t", "id", "URL").read(["a"], SIGNATURE)


def test_sources_come_from_policies_and_their_urls_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_URL", f"sqlite:///{tmp_path / 'other.db'}")
    settings = Settings(_env_file=None, features_url=f"sqlite:///{tmp_path / 'own.db'}")
    policies = {
        "own": ModelPolicy(model="own", entity="user_id", features={"table": "t"}),
        "other": ModelPolicy(model="other", features={"table": "s.t", "key": "id", "url_env": "OTHER_URL"}),
        "unset": ModelPolicy(model="unset", features={"table": "t", "key": "id", "url_env": "NOT_SET"}),
        "none": ModelPolicy(model="none"),
    }
    found = sources(policies, settings)
    assert {name: (source.table, source.key) for name, source in found.items()} == {
        "own": ("t", "user_id"),
        "other": ("s.t", "id"),
        "unset": ("t", "id"),
    }
    with pytest.raises(Permanent, match="NOT_SET is not set"):
        found["unset"].read(["a"], SIGNATURE)


def test_a_url_that_is_none_is_an_error_of_requests_with_ids() -> None:
    policies = {"m": ModelPolicy(model="m", features={"table": "t", "key": "id"})}
    found = sources(policies, Settings(_env_file=None, features_url="somewhere"))
    with pytest.raises(Permanent, match="SERVING_FEATURES_URL is no URL"):
        found["m"].read(["a"], SIGNATURE)


def test_features_need_a_key() -> None:
    with pytest.raises(ValueError, match="features needs `key`"):
        ModelPolicy(model="m", features={"table": "t"})


def test_where_features_are_read_does_not_change_what_was_judged() -> None:
    assert ModelPolicy(model="m", features={"table": "t", "key": "id"}).digest == ModelPolicy(model="m").digest
