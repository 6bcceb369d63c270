"""JSON Schema of every event type, and the compatibility check against all earlier schemas.

`python -m contracts.schema` adds a golden file for each type whose schema has changed; golden files are never edited.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.catalogue import EVENTS
from contracts.event import Event

GOLDEN = Path(__file__).parent / "schemas"


def schema_of(event: type[Event]) -> dict[str, Any]:
    return event.model_json_schema()


def golden_schemas(event: type[Event]) -> list[dict[str, Any]]:
    """Return all published schemas, oldest first."""
    files = sorted((GOLDEN / event.type).glob("*.json"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text()) for path in files]


def incompatibilities(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the differences that break a reader of one schema with a writer of the other; empty if compatible.

    Fields may be added if they are optional; nothing is removed, retyped, or made required.
    """
    return list(_compare("", old, old, new, new))


def _compare(
    path: str, old: dict[str, Any], old_root: dict[str, Any], new: dict[str, Any], new_root: dict[str, Any]
) -> Iterator[str]:
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    where = path or "the event"
    if _kind(old) != _kind(new):
        yield f"{where}: was {_kind(old)}, is {_kind(new)}"
        return
    if set(old.get("enum", ())) - set(new.get("enum", ())):
        yield f"{where}: no longer allows {sorted(set(old['enum']) - set(new['enum']))}"
    newly_required = set(new.get("required", ())) - set(old.get("required", ()))
    for name in sorted(newly_required):
        yield f"{path}.{name}: is required now"
    for name, field in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            yield f"{path}.{name}: was removed"
            continue
        yield from _compare(f"{path}.{name}", field, old_root, new["properties"][name], new_root)
    for key in ("items", "additionalProperties"):
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            yield from _compare(f"{path}[]", old[key], old_root, new[key], new_root)
    for number, (one, other) in enumerate(zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=False)):
        yield from _compare(f"{path}|{number}", one, old_root, other, new_root)


def _resolve(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        found: dict[str, Any] = root["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return found
    return node


def _kind(node: dict[str, Any]) -> str:
    if "anyOf" in node:
        return " or ".join(_kind(part) if "$ref" not in part else part["$ref"] for part in node["anyOf"])
    return str(node.get("format") or node.get("type") or "anything")


def main() -> None:
    for event in EVENTS:
        known = golden_schemas(event)
        current = schema_of(event)
        if known and known[-1] == current:
            continue
        broken = [problem for old in known for problem in incompatibilities(old, current)]
        if broken:
            raise SystemExit(
                f"{event.type} would break its readers; make a new type instead:\n  " + "\n  ".join(broken)
            )
        folder = GOLDEN / event.type
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{len(known) + 1}.json").write_text(json.dumps(current, indent=2) + "\n")


if __name__ == "__main__":
    main()
