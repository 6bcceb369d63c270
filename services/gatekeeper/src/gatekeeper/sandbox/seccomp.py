"""A seccomp filter (Linux): system calls that a model does not need fail with EPERM from here on, irrevocably.

No sockets, no signals to others, no new namespaces, no access to other processes, no memory that outlives the
process; unless allowed, no new processes either (threads are). Built and installed through `ctypes`:
https://docs.kernel.org/userspace-api/seccomp_filter.html.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from gatekeeper.sandbox.landlock import PR_SET_NO_NEW_PRIVS, Unavailable

PR_SET_SECCOMP, MODE_FILTER = 22, 2
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data; the low half, on little-endian machines
OTHER_ABI = 0x40000000  # x32 on x86-64: the same calls under other numbers

CLONE_THREAD, CLONE_NEWUSER = 0x00010000, 0x10000000
CLONE3 = 435
FORBIDDEN_ANYWHERE = {"pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438}


@dataclass(frozen=True)
class Machine:
    """An architecture: its audit constant in the kernel, and the numbers of its system calls."""

    audit: int
    clone: int
    kill: int
    tgkill: int
    prlimit: int
    fork: tuple[int, ...]
    signals: tuple[int, ...]
    forbidden: tuple[int, ...]


MACHINES = {
    "x86_64": Machine(
        audit=0xC000003E,
        clone=56,
        kill=62,
        tgkill=234,
        prlimit=302,
        fork=(57, 58),
        signals=(200, 129, 297),  # tkill, rt_sigqueueinfo, rt_tgsigqueueinfo
        forbidden=(
            *(41, 272, 308, 165, 155, 161, 304),  # socket, unshare, setns, mount, pivot_root, chroot, open_by_handle_at
            *(101, 310, 311, 298, 321, 323),  # ptrace, process_vm_readv/writev, perf_event_open, bpf, userfaultfd
            *(248, 249, 250, 29, 64, 68, 240),  # add_key, request_key, keyctl, shmget, semget, msgget, mq_open
        ),
    ),
    "aarch64": Machine(
        audit=0xC00000B7,
        clone=220,
        kill=129,
        tgkill=131,
        prlimit=261,
        fork=(),
        signals=(130, 138, 240),
        forbidden=(
            *(198, 97, 268, 40, 41, 51, 265),
            *(117, 270, 271, 241, 280, 282),
            *(217, 218, 219, 194, 190, 186, 180),
        ),
    ),
}


def install(*, processes: bool) -> None:
    """Filter the calling thread and all that it starts. `processes`: it may start processes. Raises Unavailable."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise Unavailable(f"no filter is written for {platform.machine()}")
    program = _program(machine, os.getpid(), processes)
    code = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, filter_, 0, 0) != 0:
        raise Unavailable(f"the kernel takes no seccomp filter: {os.strerror(ctypes.get_errno())}")


def _program(machine: Machine, own: int, processes: bool) -> bytes:
    """Build the filter; each rule returns an action or falls through to the next."""
    fail, no_such_call = FAIL | errno.EPERM, FAIL | errno.ENOSYS
    rules: list[bytes] = [
        _op(LOAD, ARCHITECTURE),
        _op(JUMP_EQUAL, machine.audit, 1, 0),
        _op(RETURN, KILL),
        _op(LOAD, NUMBER),
        *_answer(JUMP_AT_LEAST, OTHER_ABI, fail),
        *_answer(JUMP_EQUAL, CLONE3, no_such_call),  # its flags are in memory; libc then falls back to clone
    ]
    for number in (*machine.forbidden, *FORBIDDEN_ANYWHERE.values()):
        rules += _answer(JUMP_EQUAL, number, fail)
    rules += _of_argument(machine.prlimit, _only(0, own))
    if processes:  # they signal each other
        rules += _of_argument(machine.clone, [*_answer(JUMP_BITS, CLONE_NEWUSER, fail), _op(RETURN, ALLOW)])
    else:
        for number in (*machine.fork, *machine.signals):
            rules += _answer(JUMP_EQUAL, number, fail)
        rules += _of_argument(machine.clone, [*_answer(JUMP_BITS, CLONE_THREAD, ALLOW), _op(RETURN, fail)])
        rules += _of_argument(machine.kill, _only(0, own))
        rules += _of_argument(machine.tgkill, _only(own))
    rules.append(_op(RETURN, ALLOW))
    return b"".join(rules)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _answer(test: int, value: int, answer: int) -> list[bytes]:
    return [_op(test, value, 0, 1), _op(RETURN, answer)]


def _only(*values: int) -> list[bytes]:
    """Require the loaded argument to be one of `values`."""
    return [*(op for value in values for op in _answer(JUMP_EQUAL, value, ALLOW)), _op(RETURN, FAIL | errno.EPERM)]


def _of_argument(number: int, rules: list[bytes]) -> list[bytes]:
    """Apply `rules`, which all return an action, to the first argument of one call."""
    return [_op(JUMP_EQUAL, number, 0, len(rules) + 1), _op(LOAD, FIRST_ARGUMENT), *rules]
