"""Runs a package's Alembic migrations on a connection. Separate from `database`, which is imported far more often."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import alembic.command
import alembic.config
from sqlalchemy import Connection


def upgrade(conn: Connection, package: str) -> None:
    """Migrate the tables of `package`, inside the transaction of `conn`."""
    config = alembic.config.Config()
    chassis = Path(str(importlib.resources.files("chassis")))
    own = Path(str(importlib.resources.files(package)))
    config.set_main_option("script_location", str(chassis / "migrations"))
    config.set_main_option("version_locations", str(own / "migrations" / "versions"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=conn, version_table=f"alembic_version_{package}")
    if (own / "migrations" / "versions").is_dir():
        alembic.command.upgrade(config, "heads")
