"""Landlock (Linux 5.13): irrevocably restrict this process to the files that it is given.

https://docs.kernel.org/userspace-api/landlock.html. It also prevents the process from reading others (their memory
and environment through /proc) and, from ABI 6 on, from signalling them. Called through `ctypes`: the standard library
has no wrapper.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
VERSION, PATH_BENEATH = 1, 1
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READING = EXECUTE | READ_FILE | READ_DIR
ALL_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
ALL = (1 << 16) - 1  # from ABI 5 on
BIND_AND_CONNECT_TCP = 0b11  # ABI 4
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # ABI 6


class Unavailable(Exception):
    """The kernel does not support it; the message gives the reason."""


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Confine the calling thread and all that it starts. Returns the ABI. Raises Unavailable.

    `readable` may be read and executed, `writable` (files or folders) read and written, everything else neither.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)
    if abi < 1:
        raise Unavailable(f"the kernel has no Landlock ({os.strerror(ctypes.get_errno())})")
    handled = ALL_OF_ABI.get(abi, ALL)
    attributes = struct.pack(
        "=QQQ", handled, BIND_AND_CONNECT_TCP if abi >= 4 else 0, ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked(libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0), "create a ruleset")
    try:
        for path in readable:
            _allow(libc, ruleset, path, READING & handled)
        for path in writable:
            _allow(libc, ruleset, path, handled & ~EXECUTE)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise Unavailable("the kernel does not let go of privileges")
        _checked(libc.syscall(RESTRICT_SELF, ruleset, 0), "restrict this process")
    finally:
        os.close(ruleset)
    return int(abi)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # does not exist: nothing to allow
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            access &= OF_A_FILE | IOCTL_DEV
        rule = struct.pack("=Qi", access, handle)
        _checked(libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0), f"allow {path}")
    finally:
        os.close(handle)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise Unavailable(f"Landlock cannot {what}: {os.strerror(ctypes.get_errno())}")
    return int(result)
