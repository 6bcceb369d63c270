"""The cache of artifacts, what a model says of itself, and the kept predictions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from chassis import mlmodel
from chassis.digests import digest_tree
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation.prediction_cache import PredictionCache


class Downloads:
    """Stands in for MLflow's download: copies what lies in a folder, and counts."""

    def __init__(self, **files: dict[str, bytes] | bytes) -> None:
        self.files = files
        self.count = 0

    def download(self, uri: str, into: Path) -> Path:
        self.count += 1
        content, target = self.files[uri], into / uri
        if isinstance(content, bytes):
            target.write_bytes(content)
            return target
        for name, data in content.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(data)
        return target


def cache(tmp_path: Path, limit_mb: int = 100, **files) -> tuple[Artifacts, Downloads]:
    downloads = Downloads(**files)
    return Artifacts(tmp_path / "cache", downloads, limit_mb), downloads  # type: ignore[arg-type]


def test_an_artifact_is_fetched_once_when_its_digest_is_known(tmp_path):
    artifacts, downloads = cache(tmp_path, model={"MLmodel": b"x"})
    folder, digest = artifacts.model("model")
    assert digest == digest_tree(folder)
    assert artifacts.model("model", digest) == (folder, digest)
    assert downloads.count == 1


def test_without_a_digest_the_registry_is_asked_again(tmp_path):
    artifacts, downloads = cache(tmp_path, model={"MLmodel": b"x"})
    first = artifacts.model("model")
    downloads.files["model"] = {"MLmodel": b"changed"}
    assert artifacts.model("model") != first


def test_a_cached_artifact_that_was_tampered_with_is_fetched_again(tmp_path):
    artifacts, downloads = cache(tmp_path, model={"MLmodel": b"x"})
    folder, digest = artifacts.model("model")
    (folder / "MLmodel").write_bytes(b"evil")
    folder, found = artifacts.model("model", digest)
    assert (found, (folder / "MLmodel").read_bytes(), downloads.count) == (digest, b"x", 2)


def test_a_model_is_a_folder_and_a_dataset_a_file(tmp_path):
    artifacts, _ = cache(tmp_path, model={"MLmodel": b"x"}, rows=b"rows")
    assert artifacts.dataset("rows")[0].read_bytes() == b"rows"
    with pytest.raises(ValueError, match="a single file"):
        artifacts.model("rows")
    with pytest.raises(ValueError, match="is a folder"):
        artifacts.dataset("model")


def test_the_longest_unused_go_first(tmp_path):
    artifacts, _ = cache(tmp_path, 1, old={"x": b"1" * 700_000}, new={"x": b"2" * 700_000})
    old, _ = artifacts.model("old")
    new, _ = artifacts.model("new")
    os.utime(old, (1, 1))
    artifacts.prune()
    assert new.exists() and not old.exists()


def test_models_and_datasets_share_the_limit_and_lie_where_they_always_did(tmp_path):
    artifacts, downloads = cache(tmp_path, 1, model={"x": b"1" * 700_000}, rows=b"2" * 700_000)
    rows, digest = artifacts.dataset("rows")
    model, _ = artifacts.model("model")
    assert rows == tmp_path / "cache" / "datasets" / digest.removeprefix("sha256:") and model.parent.name == "models"
    os.utime(rows, (1, 1))
    left = rows.parent / ".new-left by a process that died"
    left.mkdir()
    os.utime(left, (1, 1))
    artifacts.prune()
    assert model.exists() and not rows.exists() and not left.exists()
    assert artifacts.dataset("rows", digest) == (rows, digest) and downloads.count == 3


def write(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder


def test_a_model_says_what_it_takes(tmp_path):
    inputs = '[{"type": "double", "name": "a"}, {"type": "string", "name": "b"}]'
    roles = {"label": "late", "classes": [0, 1]}
    said = mlmodel.read(
        write(tmp_path / "m", {"signature": {"inputs": inputs, "outputs": "[]"}, "metadata": {"gauntlet": roles}})
    )
    assert (said.has_signature, said.inputs, said.classes) == (True, ("a", "b"), (0, 1))
    assert said.roles["label"] == "late"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"signature": None, "metadata": None},
        {"signature": {"inputs": "[1, 2"}},
        {"signature": {"inputs": '[{"type": "tensor"}]'}, "metadata": {"gauntlet": ["x"]}},
        {"signature": {"inputs": '{"name": "a"}', "outputs": "x"}, "metadata": {"gauntlet": {"classes": "abc"}}},
    ],
)
def test_a_model_that_says_little_or_nonsense_names_no_columns(tmp_path, content):
    said = mlmodel.read(write(tmp_path / "m", content))
    assert (said.inputs, said.classes) == (None, None)


@pytest.mark.parametrize(
    ("content", "says"),
    [("[1", "cannot be read"), ("just text", "no mapping"), ("!!python/object/apply:os.system [x]", "cannot be read")],
)
def test_what_is_no_model_says_why(tmp_path, content, says):
    with pytest.raises(ValueError, match=says):
        mlmodel.read(write(tmp_path / "m", content))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no MLmodel file"):
        mlmodel.read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"flavors": {"python_function": {"code": "../other/code"}}}, r"'\.\./other/code' as code"),
        ({"flavors": {"python_function": {"data": "/srv/data"}}}, "'/srv/data' as data"),
        ({"flavors": {"sklearn": {"pickled_model": "a/../../model.pkl"}}}, "as pickled_model"),
        ({"flavors": {"python_function": {"artifacts": {"x": {"path": "../x", "uri": "/home/x"}}}}}, "as artifact"),
        ({"saved_input_example_info": {"artifact_path": "/etc/hosts"}}, "as input example"),
    ],
)
def test_a_model_that_names_files_outside_its_folder_is_none(tmp_path, content, says):
    with pytest.raises(ValueError, match=f"{says}, outside the folder of the model"):
        mlmodel.content(write(tmp_path / "m", content))


def test_a_model_may_name_files_in_its_folder_and_say_where_they_came_from(tmp_path):
    flavour = {"code": "code", "data": "data/model", "artifacts": {"x": {"path": "artifacts/x..y", "uri": "/home/x"}}}
    content = {"flavors": {"python_function": {**flavour, "model_code_path": "/home/me/model.py"}, "odd": None}}
    assert mlmodel.content(write(tmp_path / "m", content)) == content


def test_predictions_are_kept_for_a_model_and_rows_and_classes(tmp_path):
    kept = PredictionCache(tmp_path)
    kept.put("model", "rows", (0, 1), np.array([0.5, 0.25]))
    found = kept.get("model", "rows", (0, 1), 2)
    assert found is not None and found.tolist() == [0.5, 0.25]
    for key in (("other", "rows", (0, 1), 2), ("model", "rows", (1, 0), 2), ("model", "rows", (0, 1), 3)):
        assert kept.get(*key) is None


def test_predictions_that_are_damaged_are_not_there(tmp_path):
    kept = PredictionCache(tmp_path)
    kept.put("model", "rows", None, np.array([0.5, 0.25]))
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"junk")
    assert kept.get("model", "rows", None, 2) is None
