"""A folder of signing keys: `gauntlet-TIME-ID.key`, private, and `gauntlet-TIME-ID.pem`, public.

Of a retired key the public half is in the sub-folder `retired`, where no service looks for keys that it trusts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.errors import Permanent
from chassis.private_file import replace
from gauntlet.errors import CliError

RETIRED = "retired"


class KeySettings(BaseSettings):
    """The services' settings of keys, `.env` included."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True)

    signing_key: Path | None = Field(None, alias="GATEKEEPER_SIGNING_KEY")
    gatekeeper_trusts: Path | None = Field(None, alias="GATEKEEPER_TRUSTED_KEYS")
    serving_trusts: Path | None = Field(None, alias="SERVING_TRUSTED_KEYS")
    drift_trusts: Path | None = Field(None, alias="DRIFT_TRUSTED_KEYS")

    def trusting(self) -> dict[str, Path]:
        """Return the folders of trusted keys that are set, by service."""
        found = {"gatekeeper": self.gatekeeper_trusts, "serving": self.serving_trusts, "drift": self.drift_trusts}
        return {name: folder for name, folder in found.items() if folder is not None}


@dataclass(frozen=True)
class Key:
    """A key of a folder. `private`: None where only its public half is there."""

    key_id: str
    since: str
    public: Path
    private: Path | None


def keys_of(folder: Path) -> list[Key]:
    """Return the keys of a folder, oldest first; none where there is no such folder. Raises CliError."""
    from chassis.signing.keys import key_id_of, read_public_key

    found = []
    for path in sorted(folder.glob("*.pem"), key=lambda path: path.name):
        try:
            key_id = key_id_of(read_public_key(path))
        except Permanent as error:
            raise CliError(str(error), f"Only public keys may be in {folder} as *.pem.") from error
        private = path.with_suffix(".key")
        found.append(Key(key_id, _since(path), path, private if private.exists() else None))
    return found


def create(folder: Path) -> Key:
    """Make a key: the private half for its owner only, the public half beside it."""
    from chassis.signing.keys import SigningKey

    made = SigningKey.generate()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"gauntlet-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{made.key_id.removeprefix('ed25519:')}"
    private, public = folder / f"{stem}.key", folder / f"{stem}.pem"
    replace(private, made.private_pem().decode())
    public.write_bytes(made.public_pem())
    public.chmod(0o644)
    return Key(made.key_id, _since(public), public, private)


def find(folder: Path, key_id: str) -> Key:
    """Return the one key whose id, or the hexadecimal part of it, begins so. Raises CliError."""
    wanted = key_id.removeprefix("ed25519:")
    found = [key for key in keys_of(folder) if key.key_id.removeprefix("ed25519:").startswith(wanted)]
    if len(found) != 1 or not wanted:
        what = "no key" if not found else f"{len(found)} keys"
        raise CliError(f"{folder} has {what} whose id begins with {key_id!r}", "See: gauntlet keys list")
    return found[0]


def retire(folder: Path, key: Key) -> Path:
    """Delete the private half; move the public half to where old signatures can still be verified with it."""
    (folder / RETIRED).mkdir(mode=0o700, exist_ok=True)
    kept = folder / RETIRED / key.public.name
    key.public.replace(kept)
    if key.private is not None:
        key.private.unlink()
    return kept


def signing_id(settings: KeySettings) -> str | None:
    """Return the id of the key that signs, None where none is configured. Raises CliError."""
    from chassis.signing.keys import read_private_key

    if settings.signing_key is None:
        return None
    try:
        return read_private_key(settings.signing_key).key_id
    except Permanent as error:
        raise CliError(str(error), "It is named by GATEKEEPER_SIGNING_KEY.") from error


def _since(path: Path) -> str:
    """Return the time in the file's name; of a key that was made elsewhere, that of the file."""
    for part in path.stem.split("-"):
        with suppress(ValueError):
            return f"{datetime.strptime(part, '%Y%m%dT%H%M%S%f%z'):%Y-%m-%d %H:%M:%S}"
    return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S}"
