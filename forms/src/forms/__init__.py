"""What a fitted model is compiled to for serving, and the proof that it answers alike.

The libraries that compile and run forms, and pandas, are imported with the first name that needs them: whoever only
keeps forms and their proofs, as the gatekeeper does, goes without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from forms.artifact import Recorded, ServingArtifact
from forms.form import NATIVE, Choice, Column, Compiled, Form, Proof, Refused, Row
from forms.probing import probe_rows
from forms.proof import answered, prove

if TYPE_CHECKING:
    from forms.choosing import choose, none
    from forms.compiling import candidates
    from forms.frames import frame_of, rows_of
    from forms.stored import Stale, dumps, loads

_LATER = {
    **dict.fromkeys(("choose", "none"), "forms.choosing"),
    "candidates": "forms.compiling",
    **dict.fromkeys(("frame_of", "rows_of"), "forms.frames"),
    **dict.fromkeys(("Stale", "dumps", "loads"), "forms.stored"),
}

__all__ = [
    "NATIVE",
    "Choice",
    "Column",
    "Compiled",
    "Form",
    "Proof",
    "Recorded",
    "Refused",
    "Row",
    "ServingArtifact",
    "Stale",
    "answered",
    "candidates",
    "choose",
    "dumps",
    "frame_of",
    "loads",
    "none",
    "probe_rows",
    "prove",
    "rows_of",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
