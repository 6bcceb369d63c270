"""The jars of Apache Kafka, pinned by version and SHA-256; `python -m embedded_kafka.lock` rewrites the file."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.4"  # the version in Kafka; the binding below must match it
ENDPOINTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Kafka logs through SLF4J without a binding to Log4j; without one its log is lost.
    f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J_VERSION}",
)
LOCK_FILE = "jars.lock"


@dataclass(frozen=True)
class Jar:
    """One pinned file of a Maven repository."""

    coordinate: str  # group:artifact:version
    sha256: str
    size: int  # bytes

    @property
    def file_name(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pinned_jars() -> tuple[Jar, ...]:
    """Return the jars of the committed lock file."""
    lines = (files("embedded_kafka") / LOCK_FILE).read_text().splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Jar(coordinate, sha256, int(size)) for sha256, size, coordinate in rows)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def render(jars: list[Jar]) -> str:
    """Return the text of a lock file."""
    head = "# Apache Kafka and what it needs: sha256, bytes, Maven coordinate. Made by: python -m embedded_kafka.lock\n"
    return head + "".join(f"{jar.sha256} {jar.size} {jar.coordinate}\n" for jar in jars)


def resolve() -> list[Jar]:
    """Resolve the endpoints again and download every jar once, to determine its digest and size.

    One endpoint at a time, the first with an artifact wins: resolved together, the managed versions of Log4j's BOM
    would replace Kafka's own (kafka-clients 3.9.1 with a 4.3.1 broker).
    """
    import jgo
    from jgo.maven import MavenContext

    found: dict[str, Jar] = {}
    with tempfile.TemporaryDirectory(prefix="embedded-kafka-lock-") as directory:
        context = MavenContext(repo_cache=Path(directory))
        for endpoint in ENDPOINTS:
            for artifact in jgo.resolve(endpoint):
                name = f"{artifact.groupId}:{artifact.artifactId}"
                if name in found:
                    continue
                project = context.project(artifact.groupId, artifact.artifactId)
                path = project.at_version(artifact.version).artifact().resolve()
                found[name] = Jar(f"{name}:{artifact.version}", sha256_of(path), path.stat().st_size)
                sys.stderr.write(f"{found[name].sha256[:12]}  {found[name].coordinate}\n")
    return sorted(found.values(), key=lambda jar: jar.coordinate)


if __name__ == "__main__":
    target = Path(str(files("embedded_kafka") / LOCK_FILE))
    target.write_text(render(resolve()))
    sys.stderr.write(f"wrote {target}\n")
