"""Serialises a verified compiled model: written where a model is judged, loaded where it is served."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from itertools import accumulate, pairwise
from typing import Any

import cloudpickle

from forms.form import CompilationResult

COMPILED = ("linear", "onnxruntime", "treelite")
"""The other forms contain the model's own estimator, which a replica loads anyway."""
LIBRARIES = ("gauntlet-forms", "numpy", "scipy", "scikit-learn", "onnxruntime", "treelite", "cloudpickle")
FORMAT = 2
"""Increment whenever output of an older `forms` would load with different results, or not at all."""


class VersionMismatch(Exception):
    """Written with other library versions than the installed ones; the message lists them. Compile the model again."""


def dumps(choice: CompilationResult) -> bytes | None:
    """Serialise a choice; None if it is not worth storing. The loaded model predicts bit for bit as `choice.form`."""
    if choice.form is None or choice.name not in COMPILED:
        return None
    blocks: list[memoryview] = []
    body = cloudpickle.dumps(choice, protocol=5, buffer_callback=lambda block: blocks.append(block.raw()))
    head = {"made_with": _made_with(), "sizes": [len(body), *map(len, blocks)]}
    return b"".join([json.dumps(head).encode(), b"\n", body, *blocks])


def loads(data: bytes) -> CompilationResult:
    """Load bytes of `dumps`; as unsafe as unpickling. Raises VersionMismatch, or anything for other bytes."""
    end = data.index(b"\n")
    head, now = json.loads(data[:end]), _made_with()
    if (then := head["made_with"]) != now:
        differ = [f"{name} {then.get(name)}, here {value}" for name, value in now.items() if then.get(name) != value]
        raise VersionMismatch(f"the form was made with {'; '.join(differ) or 'other libraries'}")
    ends = list(accumulate(head["sizes"], initial=end + 1))
    body, *blocks = (memoryview(data)[start:stop] for start, stop in pairwise(ends))  # large ones are not copied
    choice: CompilationResult = cloudpickle.loads(body, buffers=blocks)
    return choice


def _made_with() -> dict[str, Any]:
    python = ".".join(platform.python_version_tuple()[:2])
    return {"format": FORMAT, "python": python, "machine": platform.machine()} | {
        name: version(name) for name in LIBRARIES
    }
