"""Compiles a fitted model for serving, and verifies that the compiled model predicts the same.

The libraries that compile and run models, and pandas, are imported by the first name that needs them: a process that
only stores compiled models and parity reports, such as the gatekeeper, does not import them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from forms.artifact import RecordedPredictions, ServingArtifact
from forms.form import NATIVE, Column, CompilationResult, CompiledModel, MatrixModel, ParityReport, Rejection, Row
from forms.parity_inputs import parity_rows
from forms.proof import answered, prove

if TYPE_CHECKING:
    from forms.choosing import choose, none
    from forms.compiling import candidates
    from forms.frames import frame_of, rows_of
    from forms.serialization import VersionMismatch, dumps, loads

_LATER = {
    **dict.fromkeys(("choose", "none"), "forms.choosing"),
    "candidates": "forms.compiling",
    **dict.fromkeys(("frame_of", "rows_of"), "forms.frames"),
    **dict.fromkeys(("VersionMismatch", "dumps", "loads"), "forms.serialization"),
}

__all__ = [
    "NATIVE",
    "Column",
    "CompilationResult",
    "CompiledModel",
    "MatrixModel",
    "ParityReport",
    "RecordedPredictions",
    "Rejection",
    "Row",
    "ServingArtifact",
    "VersionMismatch",
    "answered",
    "candidates",
    "choose",
    "dumps",
    "frame_of",
    "loads",
    "none",
    "parity_rows",
    "prove",
    "rows_of",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
