"""A model's declared requirements, compared with the packages installed here."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from gatekeeper.policy.gates.integrity import Dependency

LARGEST = 1024 * 1024
MOST_LINES = 2000

VARIANTS = ("cpu", "gpu", "binary", "headless", "skinny")
"""Suffixes of distributions that provide the modules of the one without."""

Installed = Callable[[str], tuple[str, str] | None]
"""Returns the name of the distribution that provides a package, and its version; None: nothing does."""


def installed_here(package: str) -> tuple[str, str] | None:
    """The installed version; serving has the same, since gatekeeper and serving are installed together.

    Modules decide: a package of another name that provides the module is as good (xgboost-cpu for xgboost).
    """
    for name in dict.fromkeys((package, _without_variant(package))):
        if (version := _version(name)) is not None:
            return name, version
        for other in _providers().get(name.replace("-", "_").lower(), ()):
            if (version := _version(other)) is not None:
                return other, version
    return None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


@cache
def _providers() -> Mapping[str, list[str]]:
    """Return the distributions that provide each top-level module, by its name in lower case."""
    return {module.lower(): names for module, names in importlib.metadata.packages_distributions().items()}


def _without_variant(package: str) -> str:
    base, _, suffix = package.rpartition("-")
    return base if base and suffix.lower() in VARIANTS else package


def declared(folder: Path, installed: Installed = installed_here) -> tuple[tuple[Dependency, ...], tuple[str, ...]]:
    """Check the requirements of a model folder; also return the lines that cannot be checked (options, addresses)."""
    listed, python = lines(folder)
    found: dict[str, Dependency] = {}
    unread: list[str] = []
    for line in listed[:MOST_LINES]:
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
        same, major = (_minor(python)[:parts] == _minor(here)[:parts] for parts in (2, 1))
        found["python"] = Dependency("python", f"python {python}", here, same, major)
    return tuple(found.values()), tuple(unread)


def _checked(requirement: Requirement, installed: Installed) -> Dependency:
    plain, package = f"{requirement.name}{requirement.specifier}", canonicalize_name(requirement.name)
    found = installed(requirement.name)
    if found is None:
        return Dependency(package, plain, None, False)
    provider, version = found
    satisfied = requirement.specifier.contains(version, prereleases=True)
    other = provider if canonicalize_name(provider) != package else None
    return Dependency(package, plain, version, satisfied, _is_same_major(requirement.specifier, version), other)


def _is_same_major(declared: SpecifierSet, installed: str) -> bool:
    """Whether a version that is declared has the major of the installed one, which is not excluded by name."""
    try:
        major = Version(installed).major
        named = [each for each in declared if each.operator not in ("<", "!=")]
        excluded = any(not each.contains(installed, prereleases=True) for each in declared if each.operator == "!=")
        majors = {Version(each.version.removesuffix(".*")).major for each in named}
    except InvalidVersion:
        return False
    return not excluded and (major in majors or (not named and declared.contains(installed, prereleases=True)))


def lines(folder: Path) -> tuple[list[str], str | None]:
    """Return the requirements, of requirements.txt if there is one, else of the pip section of conda.yaml; and the
    Python version, if declared."""
    conda = _yaml(folder / "conda.yaml")
    listed = conda.get("dependencies")
    entries: list[Any] = listed if isinstance(listed, list) else []
    python = next((item.partition("=")[2].strip("=") for item in entries if _is_python(item)), None)
    said = _yaml(folder / "python_env.yaml").get("python")
    text = _text(folder / "requirements.txt")
    if text is not None:
        found = text.splitlines()
    else:
        found = [line for item in entries if isinstance(item, dict) for line in item.get("pip") or () if line]
    cleaned = (str(line).split(" #")[0].split(" --hash")[0].strip().rstrip("\\ ") for line in found)
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
