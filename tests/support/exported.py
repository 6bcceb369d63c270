"""Exported evidence in tests: the schema of its ML-BOM, and a change by somebody who makes the manifest fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import jsonschema_rs


def bom_schema() -> jsonschema_rs.Validator:
    """CycloneDX 1.6 as the library has it; the schemas that it refers to beside it."""
    folder = Path(str(files("cyclonedx.schema") / "_res"))
    known = {
        f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json": json.loads(
            (folder / f"{name}.SNAPSHOT.schema.json").read_text()
        )
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    registry = jsonschema_rs.Registry(list(known.items()))
    schema = known["http://cyclonedx.org/schema/bom-1.6.SNAPSHOT.schema.json"]
    return jsonschema_rs.Draft7Validator(schema, registry=registry, validate_formats=False)


def resealed(folder: Path, file: str, change: Callable[[str], str]) -> None:
    """Change a file and make the manifest fit, as somebody does who has no key."""
    path = folder / file
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    (folder / "manifest.dsse.json").unlink(missing_ok=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][file] = {"sha256": sha256(changed.encode()).hexdigest(), "bytes": len(changed.encode())}
    (folder / "manifest.json").write_text(json.dumps(manifest))
