"""The artifact cache: whole or absent, verified on every use, bounded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.artifact_cache import ArtifactCache
from chassis.digests import digest_tree
from chassis.errors import Permanent, Transient

MEGABYTE = 1024 * 1024


def artifact(content: str) -> Callable[[Path], Path]:
    def download(into: Path) -> Path:
        folder = into / "model"
        (folder / "code").mkdir(parents=True)
        (folder / "MLmodel").write_text(content)
        (folder / "code" / "model.pkl").write_bytes(content.encode() * 100)
        return folder

    return download


def digest_of(content: str, folder: Path) -> str:
    return digest_tree(artifact(content)(folder / f"source-{content}"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> ArtifactCache:
    return ArtifactCache(folder, 100 * MEGABYTE)


def test_what_was_added_is_there_in_the_next_process_too(cache: ArtifactCache, folder: Path, tmp_path: Path) -> None:
    digest = digest_of("a", tmp_path)
    assert not cache.holds(digest)
    cache.add(digest, artifact("a"))
    again = ArtifactCache(folder, MEGABYTE)
    assert again.holds(digest)
    assert (again.verified(digest) / "MLmodel").read_text() == "a"


def test_an_artifact_with_another_digest_is_refused_for_good(
    cache: ArtifactCache, folder: Path, tmp_path: Path
) -> None:
    digest = digest_of("a", tmp_path)
    with pytest.raises(Permanent, match="was changed since"):
        cache.add(digest, artifact("tampered"))
    assert not cache.holds(digest)
    assert list(folder.iterdir()) == [], "nothing half done is left"


def test_a_download_that_breaks_leaves_nothing(cache: ArtifactCache, folder: Path, tmp_path: Path) -> None:
    def breaks(into: Path) -> Path:
        artifact("a")(into)
        raise Transient("MLflow went away")

    digest = digest_of("a", tmp_path)
    with pytest.raises(Transient, match="went away"):
        cache.add(digest, breaks)
    assert not cache.holds(digest)
    assert list(folder.iterdir()) == []


def test_an_entry_is_not_there_until_it_is_whole(cache: ArtifactCache, tmp_path: Path) -> None:
    digest = digest_of("a", tmp_path)
    seen: list[bool] = []

    def watched(into: Path) -> Path:
        fetched = artifact("a")(into)
        seen.append(cache.holds(digest))
        return fetched

    cache.add(digest, watched)
    assert seen == [False]
    assert cache.holds(digest)


@pytest.mark.parametrize("harm", ["change", "cut", "remove", "add"])
def test_a_corrupt_entry_is_removed_and_can_be_fetched_again(cache: ArtifactCache, tmp_path: Path, harm: str) -> None:
    digest = digest_of("a", tmp_path)
    cache.add(digest, artifact("a"))
    file = cache.verified(digest) / "code" / "model.pkl"
    if harm == "change":
        file.write_bytes(b"b" + file.read_bytes()[1:])
    elif harm == "cut":
        os.truncate(file, 10)
    elif harm == "remove":
        file.unlink()
    else:
        file.with_name("more.py").write_text("import os")
    with pytest.raises(Transient, match="corrupt"):
        cache.verified(digest)
    assert not cache.holds(digest)
    cache.add(digest, artifact("a"))
    assert digest_tree(cache.verified(digest)) == digest


def test_what_is_no_digest_never_becomes_a_path(cache: ArtifactCache, tmp_path: Path) -> None:
    for wrong in (
        "",
        "../../etc",
        "sha256:../x",
        "sha256:" + "A" * 64,
        "md5:" + "0" * 64,
        "sha256:" + "0" * 64 + "/..",
    ):
        assert not cache.holds(wrong)
        with pytest.raises(Permanent, match="is not of the form"):
            cache.add(wrong, artifact("a"))
        with pytest.raises(Permanent, match="is not of the form"):
            cache.verified(wrong)


def test_an_artifact_with_a_symbolic_link_is_refused(cache: ArtifactCache, tmp_path: Path) -> None:
    def linked(into: Path) -> Path:
        folder = artifact("a")(into)
        (folder / "link").symlink_to("/etc/hostname")
        return folder

    with pytest.raises(Permanent, match="symbolic link"):
        cache.add(digest_of("a", tmp_path), linked)


def test_two_replicas_that_fetch_the_same_at_once_both_have_it(folder: Path, tmp_path: Path) -> None:
    digest = digest_of("a", tmp_path)
    both = threading.Barrier(2)

    def together(into: Path) -> Path:
        fetched = artifact("a")(into)
        both.wait(10)
        return fetched

    failures: list[BaseException] = []

    def replica() -> None:
        try:
            ArtifactCache(folder, MEGABYTE).add(digest, together)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=replica) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert [entry.name for entry in folder.iterdir()] == [digest.removeprefix("sha256:")]


def test_a_cache_that_cannot_be_written_is_a_transient_error_that_names_it(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(Transient, match=str(blocked)):
        ArtifactCache(blocked / "cache", MEGABYTE).add("sha256:" + "0" * 64, artifact("a"))


def test_above_its_limit_what_was_used_longest_ago_leaves_but_never_what_is_in_use(
    folder: Path, tmp_path: Path
) -> None:
    cache = ArtifactCache(folder, max_bytes=250)
    digests = [digest_of(content, tmp_path) for content in "abcd"]
    for age, (content, digest) in enumerate(zip("abcd", digests, strict=True)):
        cache.add(digest, artifact(content))  # 101 bytes each
        os.utime(folder / digest.removeprefix("sha256:"), (1000 + age, 1000 + age))
    cache.verified(digests[1])  # used just now
    assert cache.trim(keep={digests[0]}) == [digests[2], digests[3]]
    assert [cache.holds(digest) for digest in digests] == [True, True, False, False]
    assert cache.trim(keep={digests[0]}) == []
