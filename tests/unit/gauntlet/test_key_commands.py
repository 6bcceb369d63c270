"""`gauntlet keys`: what is made, with which permissions, and in which order a key is replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chassis.signing.keys import TrustedKeys, read_private_key, read_public_keys
from support.cli import gauntlet, ok

KEYS = Path(".gauntlet/keys")


@pytest.fixture(autouse=True)
def unset(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEKEEPER_SIGNING_KEY", "GATEKEEPER_TRUSTED_KEYS", "SERVING_TRUSTED_KEYS", "DRIFT_TRUSTED_KEYS"):
        monkeypatch.delenv(name, raising=False)


def private_keys(folder: Path = KEYS) -> list[Path]:
    return sorted(folder.glob("*.key"))


def test_a_key_is_its_owners_and_its_public_half_verifies_what_it_signs() -> None:
    said = ok("keys", "create").out
    [private] = private_keys()
    key = read_private_key(private)
    assert key.key_id in said and str(private.absolute()) in said
    assert stat.S_IMODE(private.stat().st_mode) == 0o600 and stat.S_IMODE(KEYS.stat().st_mode) == 0o700
    assert read_public_keys(KEYS).verify(key.key_id, key.sign(b"decision"), b"decision")
    assert not read_public_keys(KEYS).verify(key.key_id, key.sign(b"decision"), b"another")


def test_a_second_key_is_made_by_rotate_only() -> None:
    assert "gauntlet keys create" in gauntlet("keys", "rotate").err
    ok("keys", "create", "--output", "there")
    refused = gauntlet("keys", "create", "--output", "there")
    assert refused.code == 1 and "gauntlet keys rotate" in refused.err
    assert len(private_keys(Path("there"))) == 1


def test_while_a_key_is_replaced_both_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ok("keys", "create", "--json").json
    monkeypatch.setenv("GATEKEEPER_SIGNING_KEY", first["private"])
    monkeypatch.setenv("GATEKEEPER_TRUSTED_KEYS", str(KEYS))
    monkeypatch.setenv("SERVING_TRUSTED_KEYS", str(KEYS))
    told = ok("keys", "rotate").out
    assert told.index("Copy") < told.index("GATEKEEPER_SIGNING_KEY=") < told.index(f"keys retire {first['id']}")
    listed = ok("keys", "list", "--json").json
    assert [(key["id"] == first["id"], key["signs"]) for key in listed] == [(True, True), (False, False)]
    assert all(key["trusted_by"] == ["gatekeeper", "serving"] for key in listed)
    both: TrustedKeys = read_public_keys(KEYS)
    for path in private_keys():
        key = read_private_key(path)
        assert both.verify(key.key_id, key.sign(b"x"), b"x")

    refused = gauntlet("keys", "retire", first["id"])
    assert refused.code == 1 and "is the key that signs" in refused.err
    monkeypatch.setenv("GATEKEEPER_SIGNING_KEY", listed[1]["private"])
    retired = ok("keys", "retire", first["id"].removeprefix("ed25519:")[:6]).out
    assert "retired" in retired and not Path(first["private"]).exists()
    assert read_public_keys(KEYS).ids == (listed[1]["id"],)
    assert read_public_keys(KEYS / "retired").ids == (first["id"],), "what it signed can still be verified"
    monkeypatch.delenv("GATEKEEPER_SIGNING_KEY")
    assert "is the only key" in gauntlet("keys", "retire", listed[1]["id"]).err


@pytest.mark.parametrize("service", ["gatekeeper", "serving", "drift"])
def test_a_retired_key_that_is_trusted_elsewhere_is_named(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ok("keys", "create", "--json").json
    ok("keys", "rotate")
    Path("mounted").mkdir()
    (Path("mounted") / "old.pem").write_bytes(Path(first["file"]).read_bytes())
    monkeypatch.setenv(f"{service.upper()}_TRUSTED_KEYS", "mounted")
    assert f"Remove mounted/old.pem: {service} still trusts it." in ok("keys", "retire", first["id"]).out


def test_an_unknown_or_unclear_id_is_refused() -> None:
    ok("keys", "create")
    for wrong in ("zz", "ed25519:", ""):
        refused = gauntlet("keys", "retire", wrong)
        assert refused.code == 1 and "gauntlet keys list" in refused.err


def test_a_file_that_is_no_public_key_is_named() -> None:
    ok("keys", "create")
    (KEYS / "odd.pem").write_text("no key")
    listed = gauntlet("keys", "list")
    assert listed.code == 1 and "odd.pem" in listed.err
    Path("no.jsonl").touch()
    verified = gauntlet("verify-topic", "--keys", str(KEYS), "--from", "no.jsonl")
    assert verified.code == 1 and "odd.pem" in verified.err and "defect" not in verified.err
