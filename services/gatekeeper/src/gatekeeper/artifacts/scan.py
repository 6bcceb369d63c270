"""The formats of a model's files, and what loading them would run, without loading any of them as a model."""

from __future__ import annotations

import io
import logging
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from chassis import mlmodel
from chassis.telemetry import get_logger
from contracts.gate_settings import Integrity
from gatekeeper.artifacts import pickles, requirements
from gatekeeper.artifacts.advisories import Advisories
from gatekeeper.policy.gates.integrity import Dependency, Facts, File, Format

MEBIBYTE = 1024 * 1024
LARGEST_PICKLE = 4096 * MEBIBYTE
LARGEST_SCHEMA = 64 * MEBIBYTE
LARGEST_UNREADABLE = 16 * MEBIBYTE
MOST_SCANNED = 1_000_000
"""Opcodes; a forest of 300 trees has 40,000."""
MOST_FILES = 10_000

BY_SUFFIX: Mapping[str, Format] = {
    **dict.fromkeys((".py", ".pyc", ".so", ".pyd", ".dll", ".sh", ".jar"), "code"),
    **dict.fromkeys((".pkl", ".pickle", ".cloudpickle", ".joblib"), "pickle"),
    ".onnx": "onnx",
    **dict.fromkeys((".xgb", ".ubj", ".lgb", ".cb", ".cbm"), "native"),
    **dict.fromkeys((".json", ".yaml", ".yml", ".txt", ".csv", ".parquet", ".md", ".npy", ".npz"), "data"),
}
"""The format of a file whose first bytes do not identify it."""

log = get_logger(__name__)


def inspect(
    folder: Path,
    declared_digest: str | None,
    measured_digest: str | None,
    settings: Integrity,
    advisories: Advisories | None = None,
) -> Facts:
    """Read every file of a model folder. Raises OSError when it cannot be read."""
    description = _description(folder)
    needed, unread = requirements.declared(folder)
    known, vulnerable = (None, ()) if advisories is None else advisories.look_up(_versions(needed))
    return Facts(
        declared=declared_digest,
        measured=measured_digest,
        loader=_text(_flavour(description, "python_function").get("loader_module")),
        files=tuple(_files(folder, _opened(description))),
        dependencies=needed,
        unread_requirements=unread,
        advisories=known,
        vulnerabilities=vulnerable,
        suggests=True,
    )


def _versions(needed: tuple[Dependency, ...]) -> dict[str, str]:
    """Versions that would be imported where the model is served."""
    return {item.package: item.installed for item in needed if item.installed is not None and item.package != "python"}


def _files(folder: Path, opened: frozenset[str]) -> Iterator[File]:
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in paths[:MOST_FILES]:
        name = path.relative_to(folder).as_posix()
        is_opened = name in opened or any(name.startswith(f"{parent}/") for parent in opened)
        yield _file(path, name, is_opened)
    if len(paths) > MOST_FILES:
        problem = f"there are {len(paths) - MOST_FILES:,} more, which were not looked into"
        yield File("the other files", "other", opened=True, problem=problem)


def _file(path: Path, name: str, opened: bool) -> File:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return File(name, "other", opened=True, problem="it is a link or a device")
    with path.open("rb") as content:
        head = content.read(8)
        content.seek(0)
        if head.startswith(b"PK\x03\x04"):
            return _archive(path, name, opened)
        if head.startswith(b"\x93NUMPY"):
            return _numpy(content, name, opened)
        by_suffix = BY_SUFFIX.get(path.suffix.lower(), "other")
        if by_suffix == "pickle" or _begins_like_pickle(head):
            return _pickle(content, name, opened)
        if by_suffix in ("other", "data", "native") and (found := _pickle_of_old(content, name, opened)) is not None:
            return found
    return File(name, "data" if by_suffix == "other" and not opened and _is_text(head) else by_suffix, opened)


def _begins_like_pickle(head: bytes) -> bool:
    return len(head) >= 2 and head[0] == 0x80 and head[1] <= 5


def _pickle_of_old(content: BinaryIO, name: str, opened: bool) -> File | None:
    """Protocols 0 and 1 have no magic bytes: a file is one if it can be followed to its STOP and imports anything."""
    content.seek(0)
    with suppress(pickles.Unreadable):
        if pickles.read(content).names:
            return _pickle(content, name, opened)
    return None


def _pickle(content: BinaryIO, name: str, opened: bool) -> File:
    size = content.seek(0, os.SEEK_END)
    if size > LARGEST_PICKLE:
        return File(name, "pickle", opened, problem=f"it has {size:,} bytes, more than are looked through")
    found, problem = pickles.Pickle((), 0), None
    try:
        content.seek(0)
        found = pickles.read(content)
        if content.read(1):
            problem = "something follows the pickle in the file"
    except pickles.Unreadable as error:
        problem = f"its opcodes cannot be followed: {error}"
        if size > LARGEST_UNREADABLE:
            return File(name, "pickle", opened, problem=problem)
    content.seek(0)
    flagged, scanned = _scan(content if found.opcodes <= MOST_SCANNED else _naming(found.names), name)
    if not scanned and problem is None:
        problem = "the scanner cannot read it"
    return File(name, "pickle", opened, tuple(sorted({*found.names, *flagged})), flagged, problem)


def _naming(names: tuple[str, ...]) -> BinaryIO:
    """A pickle with the same names and no effect, for the scanner, which keeps each opcode of a file in memory."""
    pairs = (item.split(":") if ":" in item else item.rpartition(".")[::2] for item in names)
    return io.BytesIO(b"".join(f"c{module}\n{name}\n0".encode() for module, name in pairs) + b"N.")


def _scan(content: BinaryIO, name: str) -> tuple[tuple[str, ...], bool]:
    """Globals that picklescan rates dangerous (a signal, no proof), and whether it could read the file."""
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # 0.14 s, and only pickles need it

    logging.getLogger("picklescan").setLevel(logging.CRITICAL)  # its findings are in the verdict
    try:
        result = scan_pickle_bytes(content, name)
    except Exception as error:  # a crafted file may make the scanner raise anything
        log.warning("the scanner failed", file=name, error=f"{type(error).__name__}: {error}")
        return (), False
    found = {pickles.joined(item.module, item.name) for item in result.globals if item.safety is SafetyLevel.Dangerous}
    return tuple(sorted(found)), not result.scan_err


def _numpy(content: BinaryIO, name: str, opened: bool) -> File:
    """An array of objects is a pickle behind a header."""
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(content)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        _, _, dtype = read(content)
    except (ValueError, SyntaxError, EOFError, MemoryError) as error:
        return File(name, "other", opened, problem=f"its header cannot be read: {error}")
    return _pickle(io.BytesIO(content.read()), name, opened) if dtype.hasobject else File(name, "data", opened)


def _archive(path: Path, name: str, opened: bool) -> File:
    """A skops file, a PyTorch file (pickles within), arrays (.npz), or something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {item.filename: item.file_size for item in archive.infolist()}
            if "schema.json" in sizes:
                return _skops(path, name, opened, sizes["schema.json"])
            inner = [_inner(archive, item, size) for item, size in sizes.items() if item.endswith((".pkl", ".npy"))]
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        return File(name, "other", opened, problem=f"the archive cannot be read: {' '.join(str(error).split())[:200]}")
    pickled = [item for item in inner if item.format == "pickle"]
    if not pickled:
        return File(name, "data" if inner and len(inner) == len(sizes) else "other", opened)
    merged = [tuple(sorted({found for item in pickled for found in getattr(item, of)})) for of in ("names", "flagged")]
    return File(name, "pickle", opened, merged[0], merged[1], next((x.problem for x in pickled if x.problem), None))


def _inner(archive: zipfile.ZipFile, item: str, size: int) -> File:
    if size > 256 * MEBIBYTE:
        return File(item, "pickle", problem=f"{item} in it has {size:,} bytes, more than are looked through")
    content = io.BytesIO(archive.read(item))
    return _numpy(content, item, False) if item.endswith(".npy") else _pickle(content, item, False)


def _skops(path: Path, name: str, opened: bool, schema_bytes: int) -> File:
    """Its types, ignoring the model's own list of trusted types, which MLflow reads from the model's own file."""
    if schema_bytes > LARGEST_SCHEMA:
        return File(name, "skops", opened, problem=f"its schema has {schema_bytes:,} bytes")
    from skops.io import get_untrusted_types  # imports all of scikit-learn: seconds, and only skops files need it

    try:
        return File(name, "skops", opened, tuple(sorted(get_untrusted_types(file=path))))
    except Exception as error:  # a crafted file may make it raise anything
        return File(name, "skops", opened, problem=f"skops cannot read it: {type(error).__name__}: {str(error)[:200]}")


def _opened(description: Mapping[str, Any]) -> frozenset[str]:
    """The files and folders that the flavours name."""
    keys = ("model_path", "pickled_model", "data", "code", "python_model", "model_code_path", "model_class")
    flavours = description.get("flavors")
    every = flavours.values() if isinstance(flavours, dict) else ()
    named = (flavour.get(key) for flavour in every if isinstance(flavour, dict) for key in keys)
    return frozenset(os.path.normpath(item) for item in named if isinstance(item, str) and item)


def _flavour(description: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    flavours = description.get("flavors")
    found = flavours.get(name) if isinstance(flavours, dict) else None
    return found if isinstance(found, dict) else {}


def _description(folder: Path) -> Mapping[str, Any]:
    try:
        return mlmodel.content(folder)
    except ValueError:  # the candidate is rejected for it elsewhere; its files are inspected anyway
        return {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _is_text(head: bytes) -> bool:
    return not head.startswith(b"\x80") and b"\0" not in head
