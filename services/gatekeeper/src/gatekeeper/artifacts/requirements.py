"""A model's declared requirements, compared with the packages installed here."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from gatekeeper.policy.gates.integrity import Dependency

LARGEST = 1024 * 1024
MOST_LINES = 2000

Installed = Callable[[str], str | None]


def installed_here(package: str) -> str | None:
    """The installed version; serving has the same, since gatekeeper and serving are installed together."""
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def declared(folder: Path, installed: Installed = installed_here) -> tuple[tuple[Dependency, ...], tuple[str, ...]]:
    """Check the requirements of a model folder; also return the lines that cannot be checked (options, addresses)."""
    lines, python = _lines(folder)
    found: dict[str, Dependency] = {}
    unread: list[str] = []
    for line in lines[:MOST_LINES]:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            unread.append(line[:200])
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if requirement.url is not None:
            unread.append(line[:200])
            continue
        found[line] = _checked(requirement, installed)
    if python is not None:
        here = platform.python_version()
        found["python"] = Dependency("python", f"python {python}", here, _minor(python) == _minor(here))
    return tuple(found.values()), tuple(unread)


def _checked(requirement: Requirement, installed: Installed) -> Dependency:
    version = installed(requirement.name)
    plain = f"{requirement.name}{requirement.specifier}"
    satisfied = version is not None and requirement.specifier.contains(version, prereleases=True)
    return Dependency(canonicalize_name(requirement.name), plain, version, satisfied)


def _lines(folder: Path) -> tuple[list[str], str | None]:
    """requirements.txt if there is one, else the pip section of conda.yaml; and the Python version, if declared."""
    conda = _yaml(folder / "conda.yaml")
    listed = conda.get("dependencies")
    entries: list[Any] = listed if isinstance(listed, list) else []
    python = next((item.partition("=")[2].strip("=") for item in entries if _is_python(item)), None)
    said = _yaml(folder / "python_env.yaml").get("python")
    text = _text(folder / "requirements.txt")
    if text is not None:
        lines = text.splitlines()
    else:
        lines = [line for item in entries if isinstance(item, dict) for line in item.get("pip") or () if line]
    cleaned = (str(line).split(" #")[0].split(" --hash")[0].strip().rstrip("\\ ") for line in lines)
    kept = [line for line in cleaned if line and not line.startswith(("#", "--hash"))]
    return kept, str(said) if said is not None else python


def _is_python(item: Any) -> bool:
    return isinstance(item, str) and item.replace(" ", "").startswith("python=")


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _yaml(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        content = yaml.safe_load(text) if text is not None else {}
    except (yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
        return None
    return path.read_text(errors="replace")
