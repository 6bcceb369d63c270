"""Ed25519 keys as PEM files: a private key that signs, and a folder of public keys that are trusted.

No program but the one that signs can need a private key, so a file that every user of the machine may read is refused.
A key's id is `ed25519:` and the first 16 hexadecimal digits of the SHA-256 of its public key: nobody chooses it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from chassis.errors import Permanent


def key_id_of(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"ed25519:{sha256(raw).hexdigest()[:16]}"


class SigningKey:
    """A Signer."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.key_id = key_id_of(self.public)

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    def private_pem(self) -> bytes:
        """PKCS #8, not encrypted: the permissions of its file, or the store of secrets, protect it."""
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self._key.private_bytes(*form)

    def public_pem(self) -> bytes:
        return self.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


class TrustedKeys:
    """A Verifier."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id_of(key): key for key in keys}

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._keys))

    def and_of(self, signing: SigningKey) -> TrustedKeys:
        """Return these keys and the public half of `signing`."""
        return TrustedKeys([*self._keys.values(), signing.public])

    def verify(self, key_id: str, signature: bytes, message: bytes) -> bool:
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def read_private_key(path: Path) -> SigningKey:
    """Raises Permanent for a file that cannot be read, that everybody can read, or that is no Ed25519 private key."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Permanent(f"{path} is no private key that can be read: {error}; see: gauntlet keys create") from error
    if mode & stat.S_IRWXO:
        raise Permanent(
            f"{path} is a private key that every user of this machine can reach (mode {mode:04o}): chmod 600 {path}, "
            "or in Kubernetes defaultMode: 0440 of the secret's volume"
        )
    if not isinstance(key, Ed25519PrivateKey):
        raise Permanent(f"{path} holds a key of another kind; an Ed25519 key is needed: gauntlet keys create")
    return SigningKey(key)


def read_public_keys(folder: Path) -> TrustedKeys:
    """Read every *.pem in `folder`. Raises Permanent when one is no Ed25519 public key, or there is none."""
    paths = sorted(folder.glob("*.pem"))
    if not paths:
        raise Permanent(f"{folder} has no public key (*.pem); see: gauntlet keys create")
    return TrustedKeys([read_public_key(path) for path in paths])


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Raises Permanent for a file that cannot be read or is no Ed25519 public key."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Permanent(f"{path} is no public key that can be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Permanent(f"{path} holds a key of another kind; an Ed25519 public key is needed")
    return key
