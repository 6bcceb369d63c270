"""What a fitted model is compiled to for serving, and the proof that it answers alike."""

from forms.choosing import NATIVE, Choice, choose
from forms.compiling import candidates
from forms.form import Column, Compiled, Form, Proof, Refused, Row
from forms.frames import frame_of, rows_of
from forms.probing import probe_rows
from forms.proof import answered, prove

__all__ = [
    "NATIVE",
    "Choice",
    "Column",
    "Compiled",
    "Form",
    "Proof",
    "Refused",
    "Row",
    "answered",
    "candidates",
    "choose",
    "frame_of",
    "probe_rows",
    "prove",
    "rows_of",
]
