"""A service's own database: SQLite in WAL mode or PostgreSQL. The only module that commits."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from chassis.errors import Permanent, Transient

MIGRATION_LOCK = 0x6761756E  # any constant: the advisory lock under which PostgreSQL schemas are migrated
BUSY_TIMEOUT_MS = 5000
PRIVATE = 0o600


LEAVES_WORK = "leaves_work"


def leaves_work(session: Session) -> None:
    """When `session` commits, wake the consumers of new rows (the relay, the job workers)."""
    session.info[LEAVES_WORK] = True


class Base(DeclarativeBase):
    """Tables of the chassis and of the services."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )


class Database:
    """Transactions on one database. Safe to use from several threads.

    Connection errors, and errors of a locked or unavailable database, are raised as `Transient`.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url.replace("postgresql://", "postgresql+psycopg://", 1))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if not self.is_sqlite and self.url.get_backend_name() != "postgresql":
            raise Permanent(f"DATABASE_URL names {self.url.get_backend_name()!r}; use sqlite or postgresql")
        self._engine = self._create_engine()
        self._writers = sessionmaker(self._engine.execution_options(writes=True), expire_on_commit=False)
        self._readers = sessionmaker(self._engine, expire_on_commit=False)
        self._after_commit: list[Callable[[], None]] = []
        self._hooks_lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        return self._engine

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Call `hook` in the committing thread after every transaction marked with `leaves_work`."""
        with self._hooks_lock:
            self._after_commit.append(hook)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a transaction: commits at the end of the block, rolls back when it raises."""
        with self._mapped_errors(), self._writers() as session, session.begin():
            yield session
        if session.info.get(LEAVES_WORK):
            with self._hooks_lock:
                hooks = tuple(self._after_commit)
            for hook in hooks:
                hook()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only session with a consistent view."""
        with self._mapped_errors(), self._readers() as session:
            yield session

    def migrate(self, package: str) -> None:
        """Migrate the tables of the chassis and of `package`, one process at a time."""
        from chassis.schema_migration import upgrade  # alembic: needed only at service start

        with self._mapped_errors(), self._migration_lock(), self._engine.execution_options(writes=True).begin() as conn:
            for name in dict.fromkeys(("chassis", package)):
                upgrade(conn, name)

    def check(self) -> None:
        """Raises Transient when the database does not respond."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        self._engine.dispose()

    def _create_engine(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(self.url, pool_pre_ping=True, pool_size=10, max_overflow=10)
        if self.url.database and self.url.database != ":memory:":
            _make_private(Path(self.url.database))
        engine = create_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if self.is_sqlite:
            with FileLock(f"{self.url.database}.migration-lock", mode=PRIVATE) if self.url.database else nullcontext():
                yield
            return
        with self._engine.connect() as conn:
            conn.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
            try:
                yield
            finally:
                conn.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise Transient(f"database {self.url.render_as_string()}: {_first_line(error)}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Transient(f"database {self.url.render_as_string()}: {_first_line(error)}") from error
            raise


def _make_private(file: Path) -> None:
    """Create a SQLite file, or restrict one, to its owner; SQLite gives its -wal and -shm files the same mode."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, PRIVATE))
        for each in (file, *file.parent.glob(f"{file.name}-*"), *file.parent.glob(f"{file.name}.*-lock")):
            if each.stat().st_mode & 0o077:
                each.chmod(PRIVATE)
    except OSError:
        return  # of another owner, or a folder that does not exist: the first connection says so


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we issue BEGIN: the driver would begin too late, and never IMMEDIATE
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    # A write lock from the start: upgrading a read lock later fails at once if another writer has committed meanwhile.
    conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("writes") else "BEGIN")
