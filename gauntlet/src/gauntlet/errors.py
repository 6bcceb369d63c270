"""The one way a command fails: what happened, with which value, and what to do."""

from __future__ import annotations


class CliError(Exception):
    """Ends a command with exit code `code`; `message` states what happened with which value, `hint` the remedy."""

    def __init__(self, message: str, hint: str | None = None, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class Silent(CliError):
    """A part of the stack does not respond."""
