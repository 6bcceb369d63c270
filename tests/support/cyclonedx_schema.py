"""CycloneDX's own JSON schema, as its library ships it: what is wrong with a document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
from cyclonedx.schema import _res

FOLDER = Path(_res.__file__).parent
OTHERS = ("spdx", "jsf-0.82", "cryptography-defs")


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.SNAPSHOT.schema.json").read_text())
    return found


def problems(document: Mapping[str, Any]) -> list[str]:
    """Return what the schema of its version says of a document; formats (dates, addresses) are looked at, too."""
    schema = _schema(f"bom-{document['specVersion']}")
    others = [(f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", _schema(name)) for name in OTHERS]
    validator = jsonschema_rs.Draft7Validator(
        schema, registry=jsonschema_rs.Registry(others), validate_formats=True, ignore_unknown_formats=True
    )
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(document)]
