"""What each program may import at its start; what needs more imports it later, in the background or at first use."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from collections import Counter

import pytest

LARGE = 15
"""Modules; a package of which fewer are loaded is too small to be worth a line here."""

HTTP = frozenset({"anyio", "fastapi", "opentelemetry", "prometheus_client", "pydantic", "pydantic_settings"})
HTTP |= {"pygments", "rich", "starlette", "structlog", "uvicorn", "yaml"}
KAFKA = frozenset({"aiokafka", "kafka"})
SERVICE = HTTP | KAFKA | {"fast_depends", "faststream", "sqlalchemy"}

ALLOWED: dict[str, frozenset[str]] = {
    "drift.app": SERVICE,
    "gatekeeper.app": SERVICE | {"jinja2", "numpy", "pandas", "pyarrow"},
    "gauntlet.cli": frozenset({"pydantic", "rich", "typer"}),
    "gauntlet_client": frozenset({"pydantic"}),
    "serving.app": HTTP | KAFKA | {"confluent_kafka", "numpy", "rapidfuzz"},
    "serving.publishing.worker": frozenset({"confluent_kafka"}),
    "trainer.app": SERVICE,
}
"""Third-party packages. To add one costs every start of the program its import: can what needs it import it later?"""

ENDS = ("drift.reports.drawing_process", "drift.reports.evidently_report")
"""Modules of another process than the service's."""

OWN = {"chassis", "contracts", "drift", "forms", "gatekeeper", "gauntlet", "gauntlet_client", "serving", "trainer"}
LINE = re.compile(r"import time:\s+\d+ \|\s+\d+ \| (?P<indent> *)(?P<name>\S+)")


def imported_by(module: str) -> list[tuple[int, str]]:
    """Depth and name of all that `module` imports, in a fresh interpreter; importers before what they import."""
    python = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    told = subprocess.run(python, capture_output=True, text=True, check=True).stderr.splitlines()
    found = [(len(line["indent"]) // 2, line["name"]) for line in map(LINE.match, told) if line]
    return found[::-1]


def chain_to(package: str, imported: list[tuple[int, str]]) -> str:
    """Who imported whom, from the program to the first import of `package`."""
    chain: list[str] = []
    for depth, name in imported:
        chain[depth:] = [name]
        if name == package:
            return " -> ".join(chain)
    raise AssertionError(f"{package} was not imported")


@pytest.mark.parametrize("module", ALLOWED)
def test_a_start_imports_no_large_package_that_is_not_listed(module: str) -> None:
    imported = imported_by(module)
    sizes = Counter(name.split(".")[0] for _, name in imported)
    large = {name for name, size in sizes.items() if size >= LARGE} - OWN - sys.stdlib_module_names
    new = {name: chain_to(name, imported) for name in sorted(large - ALLOWED[module])}
    assert module in {name for _, name in imported}
    assert not new, "\n".join(f"{name}: {chain}" for name, chain in new.items())
    assert not [name for _, name in imported if name.startswith("opentelemetry.sdk")], "only where traces are on"


def test_the_drift_service_never_imports_evidently_only_the_process_that_draws_does() -> None:
    """Not later either: of all modules of the service, imported together."""
    import drift

    names = [item.name for item in pkgutil.walk_packages(drift.__path__, "drift.")]
    own = [name for name in names if name not in ENDS and "__main__" not in name and ".migrations" not in name]
    assert set(ENDS) <= set(names)
    code = f"import sys, {', '.join(own)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pandas" in loaded
    assert not {name for name in loaded if name.split(".")[0] in ("evidently", "plotly")}
