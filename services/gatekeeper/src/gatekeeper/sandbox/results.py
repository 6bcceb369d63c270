"""Read the result files of a sandbox, which candidate code may have written, replaced or forged."""

from __future__ import annotations

import io
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatekeeper.policy.noise import Noise
from gatekeeper.sandbox.protocol import MOST_COLUMNS

LARGEST_FACTS = 64 * 1024
BYTES_A_ROW = 2048  # probabilities of 256 classes, or a long string
LARGEST_NUMBER = 1e12
LONGEST_CLASS = 2000


def facts(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty for anything else."""
    raw = _plain_file(path, LARGEST_FACTS)
    try:
        found = json.loads(raw) if raw is not None else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def count(value: Any, most: int) -> int:
    """Validate a number of rows; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else 0


def classes(value: Any) -> tuple[Any, ...] | None:
    """Validate the classes of a model: two or more words, numbers or booleans; None for anything else."""
    if not isinstance(value, list) or not 2 <= len(value) <= MOST_COLUMNS:
        return None
    usable = all(
        (isinstance(name, str) and len(name) <= LONGEST_CLASS)
        or (isinstance(name, int | float) and abs(name) <= LARGEST_NUMBER)
        for name in value
    )
    return tuple(value) if usable else None


def seconds(value: Any) -> float | None:
    """Validate a non-negative number; None for anything else, such as an integer that no float can hold."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER
    return float(value) if usable else None


def answers(path: Path, rows: int) -> NDArray[Any] | None:
    """Read predictions: (rows,) or (rows, k) finite numbers, or (rows,) strings; None for anything else."""
    values = _array(path, 4096 + rows * BYTES_A_ROW)
    if values is None or values.ndim not in (1, 2) or len(values) != rows:
        return None
    if values.ndim == 2 and not 1 <= values.shape[1] <= MOST_COLUMNS:
        return None
    if values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
        return numbers if np.isfinite(numbers).all() else None
    return values if values.dtype.kind == "U" and values.ndim == 1 else None


def timings(path: Path, most: int) -> tuple[tuple[float, ...], Noise | None]:
    """Read non-negative seconds of calls, and of what is beside them; empty for anything else."""
    values = _array(path, 4096 + most * 32)
    if values is None or values.ndim != 2 or values.shape[1] != 4 or values.dtype.kind != "f" or not len(values):
        return (), None
    if not (np.isfinite(values).all() and (values >= 0).all()):
        return (), None
    seconds, *beside = (tuple(float(value) for value in column) for column in values.T)
    return seconds, Noise(*beside)


def content(path: Path, most: int) -> bytes | None:
    """Read raw bytes; None if it is not a regular file or is larger than `most`."""
    return _plain_file(path, most)


def _array(path: Path, most_bytes: int) -> NDArray[Any] | None:
    """Read an .npy file whose header matches its size; never a pickle."""
    raw = _plain_file(path, most_bytes)
    if raw is None:
        return None
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](stream)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(raw) - stream.tell():
            return None
        stream.seek(0)
        values: NDArray[Any] = np.load(stream, allow_pickle=False)
    except (ValueError, KeyError, OSError, EOFError, SyntaxError, MemoryError, OverflowError):
        return None
    return values


def _plain_file(path: Path, most: int) -> bytes | None:
    """Read a regular file; do not follow links or block on pipes or devices that the candidate created."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > most:
            return None
        return file.read(most)
