"""The bill of materials of the image: valid by CycloneDX's schema, complete, and with the digests of the lock."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.cyclonedx_schema import problems

ROOT = Path(__file__).parents[3]


def made(folder: Path) -> str:
    command = [sys.executable, str(ROOT / "deploy" / "sbom.py"), str(ROOT / "requirements.lock")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764500000"}
    subprocess.run([*command, "--output", str(folder / "sbom.json")], check=True, env=environment)
    return (folder / "sbom.json").read_text()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("sbom"))


@pytest.fixture
def bill(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_is_valid_and_the_same_for_the_same_packages(bill: dict[str, Any], text: str, tmp_path: Path) -> None:
    assert problems(bill) == []
    assert bill["metadata"]["timestamp"] == "2025-11-30T10:53:20+00:00"
    assert made(tmp_path) == text
    for change in ({"version": "one"}, {"serialNumber": "1"}, {"components": [{"name": "no type"}]}):
        assert problems({**copy.deepcopy(bill), **change}) != []


def test_it_lists_what_the_services_need_and_nothing_else(bill: dict[str, Any]) -> None:
    components = {each["name"]: each for each in bill["components"]}
    assert {"mlflow", "fastapi", "cryptography", "cyclonedx-python-lib", "gauntlet-serving"} <= components.keys()
    assert not {"pytest", "mypy", "pip-audit", "schemathesis", "gauntlet-gauntlet"} & components.keys()
    for name, each in components.items():
        assert each["version"] == importlib.metadata.version(name)
        others = name.startswith("gauntlet-")
        assert others or each["purl"] == f"pkg:pypi/{name}@{each['version']}"
        assert others or (all(len(one["content"]) == 64 for one in each["hashes"]) and each["hashes"]), name
    without = sorted(name for name, each in components.items() if "licenses" not in each)
    assert without == [], "a licence that nobody can name needs somebody to look at it"


def test_it_says_who_needs_whom_from_the_image_on(bill: dict[str, Any]) -> None:
    graph = {each["ref"]: set(each.get("dependsOn", ())) for each in bill["dependencies"]}
    assert {ref.partition("==")[0] for ref in graph["gauntlet"]} >= {"gauntlet-trainer", "gauntlet-drift"}
    reached: set[str] = set()
    ahead = ["gauntlet"]
    while ahead:
        if (ref := ahead.pop()) not in reached:
            reached.add(ref)
            ahead += graph[ref]
    assert {each["bom-ref"] for each in bill["components"]} == reached - {"gauntlet"}
