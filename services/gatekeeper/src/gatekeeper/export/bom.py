"""The ML-BOM: a CycloneDX 1.6 document of a model's files, its requirements, and its model card.

cyclonedx-python-lib 11 has no class for model cards, so that part is added to its JSON; tests validate the whole
against the JSON schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

ROOT = "model"


def ml_bom(card: Mapping[str, Any], files: Mapping[str, Any], installed: Mapping[str, str]) -> dict[str, Any]:
    """Return the document; the same for the same version. `installed`: versions that the gates ran with, by name."""
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    name, version, digest = card["model"], str(card["version"]), card["what"]["artifact_digest"]
    about = {"gauntlet:artifact-digest": digest, "gauntlet:artifact-uri": card["what"]["artifact_uri"]}
    root = Component(
        name=name,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=ROOT,
        components=_files(files),
        properties=[Property(name=key, value=value) for key, value in about.items() if value],
    )
    needed, unread = _requirements(files, installed)
    root.properties.update(Property(name="gauntlet:requirement-not-read", value=line) for line in unread)
    judged = datetime.fromisoformat(card["outcome"]["judged_at"])
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"gauntlet:{name}:{version}:{digest}:{judged.isoformat()}"),
        components=needed,
        metadata=BomMetaData(component=root, timestamp=judged),
    )
    bom.register_dependency(root, needed)
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"]["component"]["modelCard"] = _model_card(card)
    return document


def _files(files: Mapping[str, Any]) -> list[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            name=each["path"],
            type=ComponentType.FILE,
            bom_ref=f"file:{each['path']}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each["sha256"])],
        )
        for each in files["files"]
    ]


def _requirements(files: Mapping[str, Any], installed: Mapping[str, str]) -> tuple[list[Component], list[str]]:
    """Return the packages, and the lines that name none. A version that is not declared is that of the gates."""
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    found: dict[str, Component] = {}
    unread: list[str] = []
    for line in files["requirements"] or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            unread.append(line)
            continue
        package = canonicalize_name(requirement.name)
        pinned = [each.version for each in requirement.specifier if each.operator in ("==", "===")]
        version = pinned[0] if pinned and "*" not in pinned[0] else installed.get(package)
        purl = PackageURL("pypi", name=package, version=version)
        found[str(purl)] = Component(
            name=package,
            version=version,
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=str(purl),
            properties=[Property(name="gauntlet:declared", value=line)],
        )
    if files["python"]:
        found["python"] = Component(
            name="python", version=str(files["python"]), type=ComponentType.PLATFORM, bom_ref="python"
        )
    return list(found.values()), unread


def _model_card(card: Mapping[str, Any]) -> dict[str, Any]:
    what = card["what"]
    task = {
        "approach": {"type": "supervised"},
        "datasets": [_dataset(*item) for item in card["data"].items() if item[1]],
    }
    named = {"task": what["task"], "modelArchitecture": ", ".join(what["flavors"]) or None}
    inputs = [{"format": f"{each['name']}: {each['type'] or 'any'}"} for each in what["features"] or ()]
    metrics = [{"type": name, "value": repr(value)} for name, value in card["metrics"].items()]
    return {
        "modelParameters": {
            **task,
            **{key: value for key, value in named.items() if value},
            **({"inputs": inputs} if inputs else {}),
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": list(card["limits"])},
        "properties": [
            {"name": f"gauntlet:gate:{each['gate']}", "value": f"{each['outcome']}: {each['reason']}"}
            for each in card["gates"]
        ],
    }


def _dataset(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    properties = [
        {"name": f"gauntlet:{key}", "value": str(value)}
        for key, value in about.items()
        if key != "uri" and value is not None
    ]
    contents: dict[str, Any] = {"properties": properties}
    if about.get("uri"):
        contents["url"] = about["uri"]
    return {"type": "dataset", "name": name, "contents": contents}
