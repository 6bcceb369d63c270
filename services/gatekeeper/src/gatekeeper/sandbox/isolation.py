"""How the operating system isolates a candidate's process; gaps are tested and reported, not assumed away."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gatekeeper.sandbox import landlock, seccomp
from gatekeeper.sandbox.landlock import Unavailable

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
CAPABILITY_VERSION = 0x20080522

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/sys")
ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "nsswitch.conf", "passwd", "group")
PROC = ("self", "cpuinfo", "meminfo", "stat", "loadavg", "version", "filesystems", "sys")
DEVICES = ("null", "zero", "full", "random", "urandom")


@dataclass(frozen=True)
class Isolation:
    """Each field names the isolation in force ("isolated", "confined", …), or is "open: " and the reason."""

    network: str
    files: str
    processes: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)

    @property
    def gaps(self) -> tuple[str, ...]:
        return tuple(f"{name} {value}" for name, value in asdict(self).items() if is_open(value))


def is_open(said: str) -> bool:
    return said.startswith("open")


def confine(scratch: Path, model: Path, *, processes: bool) -> Isolation:
    """Confine this process, which must have a single thread. The result lists what could not be confined."""
    if sys.platform != "linux":
        return Isolation(*(f"open: {sys.platform} has no Landlock and no seccomp",) * 3)
    try:
        abi = landlock.restrict(_readable(model, processes), _writable(scratch))
        files = "confined to the scratch folder (Landlock)"
    except Unavailable as error:
        abi, files = 0, f"open: {error}"
    try:
        seccomp.install(processes=processes)
    except Unavailable as error:
        return Isolation(_without_network(error), files, f"open: {error}")
    finally:
        _drop_capabilities()
    if not processes:
        alone = "none can be started, none signalled (seccomp)"
    elif abi >= 6:
        alone = "can be started; others cannot be signalled (Landlock)"
    else:
        alone = "open: it may start processes, and signal others"
    return Isolation("isolated (seccomp)", files, alone)


def tried(folder: Path) -> Isolation:
    """Test what `confine` achieves here: fork a process that confines itself and then attempts forbidden actions."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            found = confine(folder, folder, processes=False)
            os.write(writing, json.dumps(replace(found, **_escapes(found)).as_json()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return Isolation(**json.loads(said)) if said else Isolation(*("open: the process that tried it died",) * 3)


def _escapes(found: Isolation) -> dict[str, str]:
    """Return the fields that `found` reports as closed and that are open."""
    open_ones: dict[str, str] = {}
    if not is_open(found.network):
        with suppress(OSError), socket.socket() as opened:
            opened.settimeout(0.5)
            opened.bind(("127.0.0.1", 0))
            if "namespace" not in found.network:
                open_ones["network"] = "open: a socket could be made all the same"
    if not is_open(found.files):
        with suppress(OSError):
            os.listdir("/")
            open_ones["files"] = "open: the root folder could be read all the same"
    return open_ones


def _without_network(instead_of: Unavailable) -> str:
    """Enter an empty network namespace: the fallback without seccomp."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        return "isolated (network namespace)"
    return f"open: {instead_of}, and no namespace: {os.strerror(ctypes.get_errno())}"


def _drop_capabilities() -> None:
    """Drop the capabilities of a service that runs as root: some bypass the checks (CAP_PERFMON reads any memory)."""
    header, none = struct.pack("=Ii", CAPABILITY_VERSION, 0), bytes(24)
    ctypes.CDLL(None).capset(header, none)


def _readable(model: Path, processes: bool) -> Iterator[Path]:
    """Yield Python, its packages, the system's libraries, and the model. No home, no data folder, no other process."""
    yield model
    yield from {Path(item) for item in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path) if item}
    yield from map(Path, SYSTEM)
    yield from (Path("/etc") / name for name in ETC)
    yield from [Path("/proc")] if processes else [Path("/proc") / name for name in PROC]


def _writable(scratch: Path) -> Iterator[Path]:
    yield scratch
    yield from (Path("/dev") / name for name in DEVICES)
