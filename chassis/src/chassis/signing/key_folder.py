"""The keys that a running service trusts: a folder of public keys, looked at each second, so that a rotation needs no
restart.

A file that cannot be read, or holds no key, changes nothing: the key that it held stays trusted, and the problem is
logged and shown. A file that is removed takes its key with it at once. A folder that vanishes as a whole, as a volume
that is mounted anew, changes nothing; one that is empty trusts no key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from chassis.background import Background
from chassis.errors import Permanent, Transient
from chassis.signing.keys import TrustedKeys, key_id_of, read_public_key
from chassis.telemetry import get_logger

LOOK_SECONDS = 1.0

log = get_logger(__name__)


def taken_up(
    found: Mapping[str, Ed25519PublicKey | str], before: Mapping[str, Ed25519PublicKey]
) -> dict[str, Ed25519PublicKey]:
    """Return the trusted keys by file name. `found`: each file's key, or what is wrong with the file."""
    keys: dict[str, Ed25519PublicKey] = {}
    for name, key in found.items():
        if not isinstance(key, str):
            keys[name] = key
        elif name in before:
            keys[name] = before[name]
    return keys


class KeyFolder(Background):
    """A Part, and a Verifier of the keys as they are now. Its start waits until there is one."""

    name = "trusted keys"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_file: dict[str, Ed25519PublicKey] = {}
        self._trusted = TrustedKeys([])
        self._problems: tuple[str, ...] = ()
        self._hooks: list[Callable[[], None]] = []

    @property
    def ids(self) -> tuple[str, ...]:
        return self._trusted.ids

    @property
    def problems(self) -> tuple[str, ...]:
        return self._problems

    def verify(self, key_id: str, signature: bytes, message: bytes) -> bool:
        return self._trusted.verify(key_id, signature, message)

    def details(self) -> dict[str, Any]:
        """Return what /ready shows."""
        return {"keys": list(self.ids), "problems": list(self._problems)}

    def on_change(self, hook: Callable[[], None]) -> None:
        """Call `hook`, on the event loop, whenever other keys are trusted than before."""
        self._hooks.append(hook)

    async def start(self) -> None:
        """Raises Transient while there is no key."""
        await asyncio.to_thread(self.look)
        if not self.ids:
            raise Transient("; ".join(self._problems))
        await super().start()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                changed = await asyncio.to_thread(self.look)
            except Exception:  # whatever is in the folder, the next look must follow
                log.exception("trusted keys not read", folder=str(self._folder))
                continue
            if changed:
                for hook in self._hooks:
                    hook()

    def look(self) -> bool:
        """Read the folder; return whether other keys are trusted than before."""
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix == ".pem")
        except OSError as error:
            kept = " The keys that it held stay trusted." if self.ids else ""
            self._say(f"{self._folder} cannot be read: {error.strerror}.{kept} See: gauntlet keys create")
            return False
        found = {path.name: _read(path) for path in paths}
        before = set(self.ids)
        self._by_file = taken_up(found, self._by_file)
        self._trusted = TrustedKeys(list(self._by_file.values()))
        problems = [
            f"{problem}; {_kept(self._by_file.get(name))}"
            for name, problem in found.items()
            if isinstance(problem, str)
        ]
        if not self.ids:
            problems.append(f"{self._folder} has no public key (*.pem): nothing is believed; see: gauntlet keys create")
        self._say(*problems)
        if changed := before != set(self.ids):
            log.info("keys are trusted", folder=str(self._folder), keys=self.ids)
        return changed

    def _say(self, *problems: str) -> None:
        for problem in problems:
            if problem not in self._problems:
                log.error("trusted keys have a problem", problem=problem)
        self._problems = problems


def _read(path: Path) -> Ed25519PublicKey | str:
    try:
        return read_public_key(path)
    except Permanent as error:
        return str(error)


def _kept(key: Ed25519PublicKey | None) -> str:
    return f"the key that it held before stays trusted: {key_id_of(key)}" if key else "it adds no key"
