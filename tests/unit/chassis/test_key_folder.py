"""The folder of trusted keys, read again while a service runs."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from chassis.errors import Transient
from chassis.signing.key_folder import KeyFolder
from chassis.signing.keys import SigningKey


@pytest.fixture
def keys() -> list[SigningKey]:
    return [SigningKey.generate() for _ in range(2)]


def trusts(folder: KeyFolder, key: SigningKey) -> bool:
    return folder.verify(key.key_id, key.sign(b"message"), b"message")


def test_keys_are_added_and_removed_while_it_runs(tmp_path: Path, keys: list[SigningKey]) -> None:
    first, second = keys
    (tmp_path / "first.pem").write_bytes(first.public_pem())
    folder = KeyFolder(tmp_path)
    assert folder.look() and not folder.look()
    assert trusts(folder, first) and not trusts(folder, second)
    (tmp_path / "second.pem").write_bytes(second.public_pem())
    assert folder.look() and trusts(folder, first) and trusts(folder, second)
    (tmp_path / "first.pem").unlink()
    assert folder.look() and not trusts(folder, first) and trusts(folder, second)
    assert folder.details() == {"keys": [second.key_id], "problems": []}


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\n", b"\xff\x00", "private"])
def test_a_bad_file_keeps_its_last_key_and_is_named(
    tmp_path: Path, keys: list[SigningKey], content: bytes | str
) -> None:
    first, second = keys
    (tmp_path / "first.pem").write_bytes(first.public_pem())
    folder = KeyFolder(tmp_path)
    folder.look()
    bad = first.private_pem() if content == "private" else content
    assert isinstance(bad, bytes)
    (tmp_path / "first.pem").write_bytes(bad)
    (tmp_path / "second.pem").write_bytes(second.public_pem())
    (tmp_path / "third.pem").write_bytes(bad)
    assert folder.look()
    assert trusts(folder, first) and trusts(folder, second)
    kept, new = folder.problems
    assert "first.pem" in kept and first.key_id in kept and "third.pem" in new and "adds no key" in new
    (tmp_path / "third.pem").unlink()
    (tmp_path / "first.pem").write_bytes(first.public_pem())
    assert not folder.look() and folder.problems == ()


def test_a_folder_that_vanishes_changes_nothing_and_one_that_is_emptied_trusts_no_key(
    tmp_path: Path, keys: list[SigningKey]
) -> None:
    folder = KeyFolder(tmp_path / "trusted")
    with pytest.raises(Transient, match="gauntlet keys create"):
        asyncio.run(folder.start())
    (tmp_path / "trusted").mkdir()
    with pytest.raises(Transient, match="nothing is believed"):
        asyncio.run(folder.start())
    (tmp_path / "trusted" / "a.pem").write_bytes(keys[0].public_pem())
    assert folder.look()
    shutil.rmtree(tmp_path / "trusted")
    assert not folder.look() and trusts(folder, keys[0]) and "stay trusted" in folder.problems[0]
    (tmp_path / "trusted").mkdir()
    assert folder.look() and not trusts(folder, keys[0]) and "nothing is believed" in folder.problems[0]
