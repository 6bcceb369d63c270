"""Installing from a real HTTP repository on loopback: what is fetched, what is refused, what is said."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from embedded_kafka import DigestMismatch, DownloadFailed
from embedded_kafka.install import install_dir, installed_jars
from embedded_kafka.lock import Jar
from support.processes import free_port

CONTENTS = {"org.example:one:1.0": b"first jar" * 1000, "org.example.sub:two:2.0": b"second jar" * 1000}


class Repository:
    """Serves `files` by path; counts what is asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.asked[self.path] += 1
                content = repository.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, coordinate: str, content: bytes) -> None:
        group, artifact, version = coordinate.split(":")
        self.files[f"/{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"] = content


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository()
    monkeypatch.setenv("EMBEDDED_KAFKA_REPOSITORY", served.url)
    monkeypatch.setenv("EMBEDDED_KAFKA_CACHE", str(tmp_path / "cache"))
    for coordinate, content in CONTENTS.items():
        served.put(coordinate, content)
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def jars() -> list[Jar]:
    return [Jar(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in CONTENTS.items()]


def test_what_is_missing_is_fetched_and_what_is_there_is_not(repository: Repository, jars: list[Jar]) -> None:
    paths = installed_jars(jars)
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    repository.asked.clear()
    assert installed_jars(jars) == paths
    assert not repository.asked


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_nothing_is_installed(
    repository: Repository, jars: list[Jar]
) -> None:
    repository.put("org.example.sub:two:2.0", b"something else")
    with pytest.raises(DigestMismatch, match=r"two-2\.0\.jar .* expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}"):
        installed_jars(jars)
    assert not install_dir(jars).exists()
    assert not list(install_dir(jars).parent.glob(".fetching-*"))


def test_a_jar_altered_in_the_cache_is_refused(repository: Repository, jars: list[Jar]) -> None:
    altered = installed_jars(jars)[0]
    altered.write_bytes(altered.read_bytes() + b"!")
    with pytest.raises(DigestMismatch) as failure:
        installed_jars(jars)
    assert str(altered) in str(failure.value)
    assert "delete" in str(failure.value)


def test_a_jar_the_repository_does_not_have_is_named(repository: Repository, jars: list[Jar]) -> None:
    repository.files = {path: content for path, content in repository.files.items() if "two" not in path}
    with pytest.raises(DownloadFailed, match=r"org\.example\.sub:two:2\.0 could not be fetched"):
        installed_jars(jars)


def test_without_a_network_the_error_says_what_is_missing_and_what_to_do(
    repository: Repository, jars: list[Jar], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("EMBEDDED_KAFKA_REPOSITORY", nobody)
    with pytest.raises(DownloadFailed) as failure:
        installed_jars(jars)
    for said in (nobody, "org.example:one:1.0", "KAFKA_BOOTSTRAP_SERVERS", "EMBEDDED_KAFKA_REPOSITORY"):
        assert said in str(failure.value)


def test_a_dropped_connection_is_tried_again(repository: Repository, jars: list[Jar]) -> None:
    whole = repository.files
    half = {path: content[: len(content) // 2] for path, content in whole.items()}

    class DropsOnce(dict[str, bytes]):
        def get(self, path: str, default: object = None) -> bytes | None:  # type: ignore[override]
            return whole.get(path) if repository.asked[path] > 1 else None

    repository.files = DropsOnce(half)
    assert [path.read_bytes() for path in installed_jars(jars)] == list(CONTENTS.values())


def test_two_processes_at_once_fetch_once(repository: Repository, jars: list[Jar]) -> None:
    program = (
        "from embedded_kafka.install import installed_jars\n"
        "from embedded_kafka.lock import Jar\n"
        f"print(len(installed_jars({jars!r})))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["2", "2", "2"]
    assert {path: count for path, count in repository.asked.items() if path.endswith(".jar")} == dict.fromkeys(
        repository.files, 1
    )
