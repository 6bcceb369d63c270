"""The policies of the folder, and which of them the running services have in force."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from chassis.policy_store import PolicyStore
from gauntlet.credentials import headers_for
from gauntlet.endpoints import service, stack_settings
from gauntlet.stack_file import URL_VARIABLES

HTTP_SECONDS = 3.0

Row = tuple[str, str | None, str | None, str]


def report(data_dir: Path) -> dict[str, Any]:
    """Return what `gauntlet policy check --json` prints: the folder's files, and what each running service says."""
    here = PolicyStore(stack_settings().policies_dir).details()
    return {**here, "services": in_services(data_dir)}


def rows(found: Mapping[str, Any]) -> list[Row]:
    """Return model, file, digest, and where that policy is in force, of every file; then what only services have."""
    services: Mapping[str, Any] = found["services"]
    shown: list[Row] = []
    for model, each in found["in_force"].items():
        shown.append((model, each["file"], each["digest"], _where(model, each["digest"], services)))
    for problem in found["problems"]:
        model = problem["model"] or "–"
        kept = sorted(name for name, said in services.items() if model in said["in_force"])
        where = f"the last good one, in {', '.join(kept)}" if kept else "nowhere"
        shown.append((model, problem["file"], None, where))
    named = {row[0] for row in shown}
    gone: dict[str, list[str]] = {}
    for name, said in services.items():
        for model in said["in_force"].keys() - named:
            gone.setdefault(model, []).append(name)
    return shown + [
        (model, None, None, f"{', '.join(sorted(gone[model]))}, without a file here") for model in sorted(gone)
    ]


def problems_of(parts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return reason, effect, and the services that say so, of what services cannot use; `parts`: details by name."""
    said: dict[tuple[str, str], list[str]] = {}
    for name, details in parts.items():
        for problem in (details or {}).get("problems", ()):
            effect = "the last good one stays in force" if problem["kept"] else "its model has no policy"
            said.setdefault((problem["reason"], effect), []).append(name)
    return [(reason, effect, ", ".join(names)) for (reason, effect), names in said.items()]


def in_services(data_dir: Path) -> dict[str, Any]:
    """Return what the services that respond say of policies, by service."""
    with ThreadPoolExecutor(max_workers=len(URL_VARIABLES)) as pool:
        answers = pool.map(lambda name: _details(service(name, data_dir, None).at), URL_VARIABLES)
        return {name: details for name, details in zip(URL_VARIABLES, answers, strict=True) if details}


def details_in(answer: httpx.Response) -> dict[str, Any] | None:
    """Return the part of a /ready response that says which policies are in force."""
    try:
        details = answer.json()["policies"]
        return details if isinstance(details["in_force"], dict) else None
    except (ValueError, KeyError, TypeError):
        return None


def _details(url: str) -> dict[str, Any] | None:
    try:
        return details_in(httpx.get(f"{url}/ready", headers=headers_for(url), timeout=HTTP_SECONDS, trust_env=False))
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def _where(model: str, digest: str, services: Mapping[str, Any]) -> str:
    if not services:
        return "nothing runs"
    having = {name: said["in_force"].get(model, {}).get("digest") for name, said in services.items()}
    if all(each == digest for each in having.values()):
        return "everywhere"
    others = ", ".join(f"{name} has {each or 'none'}" for name, each in sorted(having.items()) if each != digest)
    return f"not yet: {others}"
