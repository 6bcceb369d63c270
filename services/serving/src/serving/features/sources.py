"""Feature sources of the models: the table is in the policy, the database's URL in the environment.

Imported, with SQLAlchemy, where a policy names such a table."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql
from dotenv import dotenv_values
from sqlalchemy.exc import SQLAlchemyError

from chassis.errors import Permanent
from chassis.telemetry import get_logger
from contracts.policy import ModelPolicy
from contracts.runtime_settings import Features
from serving.features.table import FeatureTable
from serving.settings import Settings

OWN_URL = Features.model_fields["url_env"].default

log = get_logger(__name__)


def sources(
    policies: Mapping[str, ModelPolicy], settings: Settings, before: Mapping[str, FeatureTable] | None = None
) -> dict[str, FeatureTable]:
    """Return the feature tables by model name, not connected yet; of `before`, those that are still the same."""
    known = {(table.variable, table.table, table.key): table for table in (before or {}).values()}
    engines: dict[str, sql.Engine | Permanent] = {table.variable: table.engine for table in known.values()}
    found = {}
    for name, policy in policies.items():
        if (named := policy.features) is None:
            continue
        if named.url_env not in engines:
            engines[named.url_env] = _engine(named.url_env, settings)
        key = named.key or policy.entity or ""
        same = known.get((named.url_env, named.table, key))
        found[name] = same or FeatureTable(engines[named.url_env], named.table, key, named.url_env)
    return found


def _engine(variable: str, settings: Settings) -> sql.Engine | Permanent:
    """Create an engine; return the error of a variable that is not set or wrong: then only requests with ids fail."""
    url = settings.features_url if variable == OWN_URL else {**dotenv_values(".env"), **os.environ}.get(variable)
    if not url:
        return _none(f"which database it is in is not known, {variable} is not set")
    try:
        parsed = sql.make_url(url)
        limits = _limits(parsed, settings.features_seconds)
        return sql.create_engine(parsed, pool_pre_ping=True, connect_args=limits)
    except (SQLAlchemyError, ImportError, TypeError, ValueError) as error:
        return _none(f"{variable} is no URL that SQLAlchemy can use: {error}")


def _none(reason: str) -> Permanent:
    log.warning("no database of features", reason=reason)
    return Permanent(reason)


def _limits(url: sql.URL, seconds: float) -> dict[str, Any]:
    """Return the driver's timeout options; without any, an abandoned query holds its thread until it returns."""
    if url.get_backend_name() == "postgresql":
        milliseconds = math.ceil(seconds * 1000)
        return {"connect_timeout": max(2, math.ceil(seconds)), "options": f"-c statement_timeout={milliseconds}"}
    return {"timeout": seconds} if url.get_backend_name() == "sqlite" else {}
