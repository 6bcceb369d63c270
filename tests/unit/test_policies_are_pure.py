"""Policies only decide: a process that imports them all loads neither a framework nor another module of ours.

The import linter holds the source to the same; this sees what Python loads, whatever a library of theirs brings along.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "contracts",
    *("numpy", "scipy", "charset_normalizer"),  # f2py, which scipy imports, imports the last one where it is
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"),
}
"""Beside the standard library: the events and settings with what they are written in, and the statistics."""
LOAD = """
import importlib, json, sys
before = set(sys.modules)
brought = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    brought[name] = sorted(set(sys.modules) - before)
    before = set(sys.modules)
print(json.dumps(brought))
"""


def policies() -> list[str]:
    """Every module that the import linter takes for a policy."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in configured if each["name"].startswith("policies decide"))
    assert "allow_indirect_imports" not in contract
    found = []
    for name in contract["source_modules"]:
        package = importlib.import_module(name)
        inner = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{name}.")
        found += [name, *(module.name for module in inner)]
    return found


def test_policies_load_nothing_but_what_they_decide_with() -> None:
    names = policies()
    assert len(names) > 30
    shell = subprocess.run([sys.executable, "-c", LOAD, *names], capture_output=True, text=True, check=True, cwd="/")
    services = {name.partition(".")[0] for name in names}
    more = {
        policy: unwanted
        for policy, brought in json.loads(shell.stdout).items()
        if (unwanted := [name for name in brought if not _is_wanted(name, services, names)])
    }
    assert more == {}


def _is_wanted(module: str, services: set[str], names: list[str]) -> bool:
    top = module.partition(".")[0]
    if top in services:
        return module in services or module in names  # the empty package around it, or a policy
    compiled = top.startswith("_") or top.endswith("__mypyc") or top == "cython_runtime"  # parts of an extension module
    return compiled or top in ALLOWED or top in sys.stdlib_module_names
