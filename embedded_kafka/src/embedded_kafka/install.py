"""Installs the pinned jars in the user's cache: downloads once, verifies digests, safe for concurrent processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from embedded_kafka.errors import DigestMismatch, DownloadFailed
from embedded_kafka.lock import KAFKA_VERSION, Jar, pinned_jars, sha256_of

CACHE_VARIABLE = "EMBEDDED_KAFKA_CACHE"
REPOSITORY_VARIABLE = "EMBEDDED_KAFKA_REPOSITORY"
CONNECTIONS = 8  # 45 small files: one by one, latency dominates, not bandwidth


def cache_dir() -> Path:
    """Return this user's cache, or the directory that EMBEDDED_KAFKA_CACHE names."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else user_cache_path("embedded-kafka")


def repository_url() -> str:
    """Return the Maven repository in use: the central one, or the one that EMBEDDED_KAFKA_REPOSITORY names."""
    from jgo.constants import MAVEN_CENTRAL_URL

    return os.environ.get(REPOSITORY_VARIABLE, MAVEN_CENTRAL_URL).rstrip("/")


def install_dir(jars: Sequence[Jar]) -> Path:
    """Return the directory of exactly this set of jars; another set has another directory, so they never mix."""
    pins = hashlib.sha256("".join(sorted(jar.sha256 for jar in jars)).encode()).hexdigest()
    return cache_dir() / f"kafka-{KAFKA_VERSION}-{pins[:12]}"


def installed_jars(jars: Sequence[Jar] | None = None) -> list[Path]:
    """Return the verified jars, downloading missing ones.

    Raises DownloadFailed when a missing one cannot be downloaded, DigestMismatch when a file is not the pinned one.
    """
    jars = pinned_jars() if jars is None else jars
    directory = install_dir(jars)
    if not directory.exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.parent / f"{directory.name}.lock"):
            if not directory.exists():
                _install(jars, directory)
    return verified(jars, directory)


def verified(jars: Sequence[Jar], directory: Path) -> list[Path]:
    """Return the paths of `jars` in `directory`; raises DigestMismatch for the first that is missing or altered."""
    for jar in jars:
        path = directory / jar.file_name
        found = sha256_of(path) if path.exists() else "no such file"
        if found != jar.sha256:
            raise DigestMismatch(
                f"{path} is not the file that jars.lock pins: expected sha256 {jar.sha256}, found {found}. "
                f"Nothing was started. If you do not know why it differs, delete {directory} to fetch it again."
            )
    return [directory / jar.file_name for jar in jars]


def _install(jars: Sequence[Jar], directory: Path) -> None:
    """Download into a temporary directory and rename it once every digest matches: it is complete or absent."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=directory.parent) as temporary:
        staging = Path(temporary, "jars")
        staging.mkdir()
        with _progress(sum(jar.size for jar in jars)) as advance:
            fetch = _Fetch(Path(temporary, "repository"), advance)
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                try:
                    for jar, path in zip(jars, pool.map(fetch, jars), strict=True):
                        shutil.move(path, staging / jar.file_name)
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        verified(jars, staging)
        staging.rename(directory)


class _Fetch:
    """Downloads one jar with jgo from the repository in use."""

    def __init__(self, repository: Path, advance: Callable[[int], None]) -> None:
        from jgo.maven import MavenContext, PythonResolver

        self.url = repository_url()
        self.context = MavenContext(
            resolver=PythonResolver(progress_callback=lambda _name, _size: nullcontext(advance)),
            repo_cache=repository,
            remote_repos={"repository": self.url},
            timeout=15,
        )

    def __call__(self, jar: Jar) -> Path:
        try:
            return self._once(jar)
        except DownloadFailed:
            return self._once(jar)  # retry once: a dropped connection is common, two in a row are worth reporting

    def _once(self, jar: Jar) -> Path:
        from requests import RequestException

        group, name, version = jar.coordinate.split(":")
        artifact = self.context.project(group, name).at_version(version).artifact()
        try:
            return artifact.resolve()
        except (RequestException, RuntimeError, OSError) as error:
            if artifact.cached_path:
                artifact.cached_path.unlink(missing_ok=True)  # a partial file would be taken for the complete one
            raise DownloadFailed(
                f"Apache Kafka {KAFKA_VERSION} is not in {cache_dir()} yet, and {jar.coordinate} could not be fetched "
                f"from {self.url}: {_shortly(error)}\n"
                f"The network is needed once (45 MB). Without it: name a reachable mirror in {REPOSITORY_VARIABLE}, "
                f"copy the cache of another machine and name it in {CACHE_VARIABLE}, or use a Kafka that runs already "
                "by naming it in KAFKA_BOOTSTRAP_SERVERS."
            ) from error


def _shortly(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text if len(text) < 300 else f"{text[:300]}…"


def _progress(total: int) -> Any:
    """Return a context manager that shows a progress bar on standard error and yields the function that advances it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    class Bar:
        def __enter__(self) -> Callable[[int], None]:
            self.progress = Progress(
                TextColumn("Fetching Apache Kafka"),
                BarColumn(),
                DownloadColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self.progress.start()
            task = self.progress.add_task("", total=total)
            return lambda count: self.progress.advance(task, count)

        def __exit__(self, *_: object) -> None:
            self.progress.stop()

    return Bar()
