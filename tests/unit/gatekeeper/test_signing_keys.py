"""A gatekeeper whose keys cannot be used does not start, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from chassis.asyncapi import build_service
from chassis.errors import Permanent
from chassis.service import run_service
from chassis.signing.keys import SigningKey
from gatekeeper.app import build
from gatekeeper.settings import Settings
from gatekeeper.signing import read_signing
from support.processes import free_port
from support.signed_topics import write_keys


def elliptic(path: Path) -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(generate_private_key(SECP256R1()).private_bytes(*form))


@pytest.mark.parametrize(
    ("mode", "said"), [(0o604, "every user"), (0o602, "mode 0602"), (0o640, None), (0o600, None), (0o400, None)]
)
def test_a_private_key_is_not_for_everybody(tmp_path: Path, mode: int, said: str | None) -> None:
    key = write_keys(tmp_path, "ours")["ours"]
    (tmp_path / "ours.key").chmod(mode)
    settings = Settings(_env_file=None, signing_key=tmp_path / "ours.key")
    if said is None:
        [signer] = read_signing(settings).signers
        assert signer.key_id == key.key_id
        return
    with pytest.raises(Permanent, match=said):
        read_signing(settings)


@pytest.mark.parametrize("kind", ["missing", "no key", "public", "another kind"])
def test_a_file_that_is_no_private_key_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "signing.key"
    if kind != "missing":
        path.touch(mode=0o600)
    if kind == "no key":
        path.write_text("no key")
    elif kind == "public":
        path.write_bytes(SigningKey.generate().public_pem())
    elif kind == "another kind":
        elliptic(path)
    with pytest.raises(Permanent) as failed:
        build_service("gatekeeper", signing_key=path)
    assert str(path) in str(failed.value) and "gauntlet keys create" in str(failed.value)


def test_trusted_keys_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    write_keys(tmp_path, "ours")
    signing_key, trusted = tmp_path / "ours.key", tmp_path / "trusted"
    with pytest.raises(Permanent, match="GATEKEEPER_SIGNING_KEY is not set"):
        build_service("gatekeeper", trusted_keys=trusted)
    with pytest.raises(Permanent, match="has no public key"):
        build_service("gatekeeper", signing_key=signing_key, trusted_keys=tmp_path / "elsewhere")
    (trusted / "odd.pem").write_bytes(signing_key.read_bytes())
    with pytest.raises(Permanent, match=r"odd\.pem is no public key"):
        build_service("gatekeeper", signing_key=signing_key, trusted_keys=trusted)


def test_its_own_key_is_trusted_without_being_in_the_folder(tmp_path: Path) -> None:
    ours, other = write_keys(tmp_path, "ours", "other").values()
    (tmp_path / "trusted" / "ours.pem").unlink()
    settings = Settings(_env_file=None, signing_key=tmp_path / "ours.key", trusted_keys=tmp_path / "trusted")
    trusted = read_signing(settings).trusted
    assert trusted is not None
    for key in (ours, other):
        assert trusted.verify(key.key_id, key.sign(b"x"), b"x")
    assert read_signing(Settings(_env_file=None)).trusted is None


def test_the_program_ends_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(
        _env_file=None, data_dir=tmp_path, port=free_port(), signing_key=tmp_path / "none", log_level="ERROR"
    )
    assert run_service("gatekeeper", settings, build) == 1
    said = capsys.readouterr().err
    assert f"gatekeeper does not start: {tmp_path / 'none'} is no private key" in said and "Traceback" not in said
