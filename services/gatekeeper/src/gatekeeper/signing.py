"""Which key signs the gatekeeper's decisions, and which it believes when it reads them back."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.errors import Permanent
from chassis.signing.dsse import Signer, Verifier
from gatekeeper.settings import Settings


@dataclass(frozen=True)
class Signing:
    """`own`: the public half of the key that signs. `trusted`: None while unsigned records are believed, too."""

    signers: tuple[Signer, ...] = ()
    own: Verifier | None = None
    trusted: Verifier | None = None


def read_signing(settings: Settings) -> Signing:
    """Read the keys that are configured. Raises Permanent for one that cannot be used."""
    if settings.signing_key is None:
        if settings.trusted_keys is not None:
            raise Permanent(
                f"GATEKEEPER_TRUSTED_KEYS is {settings.trusted_keys}, and GATEKEEPER_SIGNING_KEY is not set: the "
                "gatekeeper would not believe its own decisions. Create a key with: gauntlet keys create"
            )
        return Signing()
    from chassis.signing.keys import TrustedKeys, read_private_key, read_public_keys

    key = read_private_key(settings.signing_key)
    trusted = None if settings.trusted_keys is None else read_public_keys(settings.trusted_keys).and_of(key)
    return Signing((key,), TrustedKeys([key.public]), trusted)
