"""`python sbom.py LOCK [--output FILE]`: what the image holds, as a CycloneDX 1.6 bill of materials in JSON.

Lists the packages that are installed where this runs, as far as our services need them: with version, licence, the
packages that each needs, and the SHA-256 digests of the files from which LOCK allows it to be installed. With
SOURCE_DATE_EPOCH, which is then its time, the same packages give the same file.
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import os
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import AttachedText, HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOTS = (
    *("gauntlet-contracts", "gauntlet-chassis", "gauntlet-forms", "gauntlet-examples"),
    *("gauntlet-trainer", "gauntlet-gatekeeper", "gauntlet-serving", "gauntlet-drift"),
)
"""Our packages that the image has."""
LICENCE_CLASSIFIER = "License :: OSI Approved :: "
LONGEST_LICENCE = 100
"""Characters; some packages put the whole text into the field of its name."""


def needed(roots: Iterable[str]) -> dict[str, metadata.Distribution]:
    """Return the installed packages that the roots need, and the roots, by their canonical names.

    Raises PackageNotFoundError for a root that is not installed.
    """
    found: dict[str, metadata.Distribution] = {}
    wanted: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset({""})) for name in roots]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        name, extras = each = wanted.pop()
        if each in seen:
            continue
        seen.add(each)
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name in roots:
                raise
            continue  # of another platform, or one that this installation leaves out
        wanted += [(other, more) for other, more in _requirements(found[name], extras)]
    return found


def _requirements(distribution: metadata.Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in distribution.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield canonicalize_name(requirement.name), frozenset({"", *requirement.extras})


def digests(lock: str) -> dict[str, list[str]]:
    """Return the SHA-256 digests that a lock lists, by the canonical name of the package."""
    found: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", lock.replace("\\\n", " ")):
        if (named := re.match(r"([A-Za-z0-9._-]+)(?:\[.*?\])?==", entry)) is not None:
            found[canonicalize_name(named.group(1))] = sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    return found


def licences(distribution: metadata.Distribution) -> list[License]:
    """Return what a package says of its licence: an SPDX expression, else classifiers, a name, or the text itself."""
    expression, free = (_field(distribution, name) for name in ("License-Expression", "License"))
    classifiers = distribution.metadata.get_all("Classifier") or ()
    classified = [each.removeprefix(LICENCE_CLASSIFIER) for each in classifiers if each.startswith(LICENCE_CLASSIFIER)]
    if not expression and classified:
        return [DisjunctiveLicense(name=each) for each in classified]
    first = (expression or free).strip().partition("\n")[0]
    if 0 < len(first) <= LONGEST_LICENCE:
        return [LicenseFactory().make_from_string(first)]
    texts = ((name, _text(distribution, name)) for name in distribution.metadata.get_all("License-File") or ())
    return [DisjunctiveLicense(name=name, text=AttachedText(content=text)) for name, text in texts if text]


def _text(distribution: metadata.Distribution, name: str) -> str | None:
    return distribution.read_text(f"licenses/{name}") or distribution.read_text(name)


def _field(distribution: metadata.Distribution, name: str) -> str:
    found = distribution.metadata.get_all(name)
    return str(found[0]) if found else ""


def bill(lock: str, roots: Iterable[str] = ROOTS) -> Bom:
    """Return the bill of materials of what is installed here."""
    hashes, packages = digests(lock), needed(roots)
    image = Component(name="gauntlet", type=ComponentType.CONTAINER, version=packages["gauntlet-chassis"].version)
    image.bom_ref.value = "gauntlet"
    components = {name: _component(name, each, hashes.get(name, [])) for name, each in packages.items()}
    bom = Bom(components=components.values())
    bom.metadata.component = image
    bom.register_dependency(image, [components[canonicalize_name(name)] for name in roots])
    for name, distribution in packages.items():
        # With every extra, as it is installed for somebody: the packages are listed once, whoever needs them.
        extras = frozenset({"", *(distribution.metadata.get_all("Provides-Extra") or ())})
        others = {other for other, _ in _requirements(distribution, extras)} & components.keys() - {name}
        bom.register_dependency(components[name], [components[other] for other in sorted(others)])
    content = "\n".join(f"{name}=={packages[name].version}" for name in sorted(packages))
    bom.serial_number = uuid5(NAMESPACE_URL, content)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    bom.metadata.timestamp = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return bom


def _component(name: str, distribution: metadata.Distribution, hashes: list[str]) -> Component:
    is_ours = name in ROOTS
    return Component(
        type=ComponentType.APPLICATION if is_ours else ComponentType.LIBRARY,
        name=name,
        version=distribution.version,
        bom_ref=f"{name}=={distribution.version}",
        purl=None if is_ours else PackageURL("pypi", name=name, version=distribution.version),
        description=_field(distribution, "Summary") or None,
        licenses=licences(distribution),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
        properties=[Property(name="gauntlet:hashes", value="of the files that the lock allows")] if hashes else [],
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--output", type=Path, help="default: standard output")
    given = parser.parse_args(arguments)
    text = JsonV1Dot6(bill(given.lock.read_text())).output_as_string(indent=2) + "\n"
    if given.output is None:
        sys.stdout.write(text)
    else:
        given.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
