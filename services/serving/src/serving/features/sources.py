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


def sources(policies: Mapping[str, ModelPolicy], settings: Settings) -> dict[str, FeatureTable]:
    """Return the feature tables by model name, not connected yet. Raises Permanent for an invalid URL."""
    engines: dict[str, sql.Engine | None] = {}
    found = {}
    for name, policy in policies.items():
        if (named := policy.features) is None:
            continue
        if named.url_env not in engines:
            engines[named.url_env] = _engine(named.url_env, settings)
        key = named.key or policy.entity or ""
        found[name] = FeatureTable(engines[named.url_env], named.table, key, named.url_env)
    return found


def _engine(variable: str, settings: Settings) -> sql.Engine | None:
    """Create an engine; return None when the variable is not set: then only requests with ids fail."""
    url = settings.features_url if variable == OWN_URL else {**dotenv_values(".env"), **os.environ}.get(variable)
    if not url:
        log.warning("no database of features", reason=f"{variable} is not set")
        return None
    try:
        parsed = sql.make_url(url)
        limits = _limits(parsed, settings.features_seconds)
        return sql.create_engine(parsed, pool_pre_ping=True, connect_args=limits)
    except (SQLAlchemyError, ImportError, TypeError, ValueError) as error:
        raise Permanent(f"{variable} is no URL that SQLAlchemy can use: {error}") from error


def _limits(url: sql.URL, seconds: float) -> dict[str, Any]:
    """Return the driver's timeout options; without any, an abandoned query holds its thread until it returns."""
    if url.get_backend_name() == "postgresql":
        milliseconds = math.ceil(seconds * 1000)
        return {"connect_timeout": max(2, math.ceil(seconds)), "options": f"-c statement_timeout={milliseconds}"}
    return {"timeout": seconds} if url.get_backend_name() == "sqlite" else {}
