"""The imports of a pickle, read from its opcodes: nothing is unpickled, imported or called.

The opcodes are those of `pickletools`. Strings are tracked through stack and memo to resolve what a STACK_GLOBAL
imports; where that is impossible, UNKNOWN stands for it, which is on no allow-list.
"""

from __future__ import annotations

import _compat_pickle
import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO

UNKNOWN = "(a name that the pickle computes)"
MOST_OPCODES = 10_000_000
_MARK = object()
_STRINGS = frozenset(
    ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
)
_EXTENSIONS = frozenset(("EXT1", "EXT2", "EXT4"))
_PERSISTENT = frozenset(("PERSID", "BINPERSID"))


class Unreadable(Exception):
    """Not a pickle, or one that cannot be followed to its end."""


@dataclass(frozen=True)
class Pickle:
    """`names`: every global, sorted, as `joined` writes it."""

    names: tuple[str, ...]
    opcodes: int


def read(file: BinaryIO) -> Pickle:
    """Read one pickle, to its STOP. Raises Unreadable."""
    machine = _Machine()
    number = 0
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file), 1):
            if number > MOST_OPCODES:
                raise Unreadable(f"it has more than {MOST_OPCODES:,} opcodes")
            machine.step(opcode, argument)
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError, UnicodeError) as error:
        raise Unreadable(" ".join(str(error).split())[:200] or type(error).__name__) from error
    return Pickle(tuple(sorted(machine.names)), number)


class _Machine:
    """The unpickler's stack and memo, with strings where a string is known and None for anything else."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._protocol = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        name = opcode.name
        if name in _STRINGS:
            self._stack.append(argument if isinstance(argument, str) else None)
        elif name == "PROTO":
            self._protocol = int(argument)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[int(argument)])
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        elif name == "STACK_GLOBAL":
            last, module = self._stack.pop(), self._stack.pop()
            self._import(module, last)
        elif name == "GLOBAL":
            module, _, last = str(argument).partition(" ")
            self._import(module, last)
        elif name == "INST":
            module, _, last = str(argument).partition(" ")
            self._import(module, last, pushes=False)
            self._generic(opcode)
        elif name in _EXTENSIONS or name in _PERSISTENT:
            self.names.add(UNKNOWN)
            self._generic(opcode)
        else:
            self._generic(opcode)

    def _import(self, module: Any, name: Any, pushes: bool = True) -> None:
        if isinstance(module, str) and isinstance(name, str):
            self.names.add(joined(module, name))
            if self._protocol < 3:  # an unpickler translates the names of Python 2
                module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
                self.names.add(joined(_compat_pickle.IMPORT_MAPPING.get(module, module), name))
        else:
            self.names.add(UNKNOWN)
        if pushes:
            self._stack.append(None)

    def _generic(self, opcode: pickletools.OpcodeInfo) -> None:
        """Apply any other opcode by its stack effect as documented by pickletools."""
        before, after = opcode.stack_before, opcode.stack_after
        if pickletools.markobject in before:
            while self._stack.pop() is not _MARK:
                pass
            before = before[: before.index(pickletools.markobject)]
        for _ in before:
            if self._stack.pop() is _MARK:
                raise ValueError("a mark where a value should be")
        self._stack.extend(_MARK if kind is pickletools.markobject else None for kind in after)


def joined(module: str, name: str) -> str:
    """Format a global: with a colon where its name goes through attributes."""
    return f"{module}:{name}" if "." in name else f"{module}.{name}"
