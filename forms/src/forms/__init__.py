"""What a fitted model is compiled to for serving, and the proof that it answers alike."""

from forms.compiling import candidates
from forms.form import Column, Compiled, Form, Proof, Refused, Row
from forms.probing import probe_rows
from forms.proof import answered, prove

__all__ = ["Column", "Compiled", "Form", "Proof", "Refused", "Row", "answered", "candidates", "probe_rows", "prove"]
