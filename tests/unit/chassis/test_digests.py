"""Content digests."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.digests import digest_tree


def tree(folder: Path, files: dict[str, str]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return digest_tree(folder)


def test_equal_contents_have_equal_digests_wherever_they_are(tmp_path: Path) -> None:
    files = {"a": "1", "b/c": "2"}
    assert tree(tmp_path / "x", files) == tree(tmp_path / "y", dict(reversed(files.items())))


@pytest.mark.parametrize("other", [{"a": "2", "b/c": "2"}, {"a": "1", "b/d": "2"}, {"a": "1"}, {"a": "1", "c": "2"}])
def test_any_difference_shows(tmp_path: Path, other: dict[str, str]) -> None:
    assert tree(tmp_path / "x", {"a": "1", "b/c": "2"}) != tree(tmp_path / "y", other)


def test_a_link_is_refused_since_it_could_point_anywhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="symbolic link"):
        digest_tree(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        digest_tree(tmp_path / "file")
