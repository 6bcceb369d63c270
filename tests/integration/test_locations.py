"""Where a real MLflow has what a URI names: its own places are opened, those that somebody gave it are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.errors import NotFound, Refused
from chassis.registry import Registry
from chassis.uris import SETTING


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Of an MLflow whose clients read its files themselves, as those of a bucket that the server does not hand out."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "")
        patched.chdir(folder)
        registry = Registry(f"sqlite:///{folder}/mlflow.db")
        assert registry.client.get_experiment("0").artifact_location == str(folder / "mlruns" / "0")
        yield registry


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder of this machine that is none of MLflow's."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret")
    return folder


def kept(registry: Registry, location: Path | None = None) -> str:
    """Return a run whose artifacts are in this place, with a file."""
    where = (
        "0" if location is None else registry.client.create_experiment("theirs", artifact_location=location.as_uri())
    )
    run = registry.client.create_run(where).info.run_id
    registry.client.log_text(run, "rows", "datasets/rows of june.txt")
    return str(run)


def own(registry: Registry, run: str) -> Path:
    return Path(registry.client.get_run(run).info.artifact_uri)


def test_the_registrys_own_files_are_opened_by_every_name(registry: Registry, tmp_path: Path) -> None:
    run = kept(registry)
    model = registry.client.create_logged_model("0", name="model", source_run_id=run)
    registry.client.log_model_artifacts(model.model_id, str(own(registry, run) / "datasets"))
    registry.client.create_registered_model("m")
    registry.client.create_model_version("m", source=f"models:/{model.model_id}", model_id=model.model_id)
    file = registry.client.get_run(run).info.artifact_uri + "/datasets/rows of june.txt"
    uris = (f"runs:/{run}/datasets/rows of june.txt", file, f"file://{file}".replace(" ", "%20"))
    for number, uri in enumerate(uris):
        assert registry.download(uri, tmp_path / str(number)).read_text() == "rows"
    for uri in (f"models:/{model.model_id}", "models:/m/1", f"runs:/{run}/model"):
        assert (registry.download(uri, tmp_path / "models") / "rows of june.txt").read_text() == "rows", uri
    assert registry.artifacts(run, "datasets") == {"datasets/rows of june.txt"}


def test_an_experiment_whose_location_is_a_folder_of_this_machine_is_read_and_written_only_if_listed(
    registry: Registry, foreign: Path, tmp_path: Path
) -> None:
    run = kept(registry, foreign)
    model = registry.client.create_logged_model(registry.client.get_run(run).info.experiment_id, source_run_id=run)
    for uri in (f"runs:/{run}/datasets/rows of june.txt", f"models:/{model.model_id}"):
        with pytest.raises(Refused, match=f"'{uri}' is refused: MLflow has it at 'file://{foreign}/.*{SETTING}"):
            registry.download(uri, tmp_path / "out")
    before = sorted(foreign.rglob("*"))
    (tmp_path / "page.html").write_text("page")
    for attempt in (
        lambda: registry.upload(run, tmp_path / "page.html", "verdicts"),
        lambda: registry.upload_folder(run, tmp_path, "verdicts"),
        lambda: registry.upload_text(run, "{}", "manifest.json"),
        lambda: registry.artifacts(run, "datasets"),
    ):
        with pytest.raises(Refused):
            attempt()
    assert sorted(foreign.rglob("*")) == before
    listing = Registry(registry.tracking_uri, allowed_uris=foreign.as_uri())
    assert listing.download(f"runs:/{run}/datasets/rows of june.txt", tmp_path / "out").read_text() == "rows"


def test_a_file_is_opened_only_below_a_listed_folder_and_not_through_a_link_out_of_it(
    registry: Registry, foreign: Path, tmp_path: Path
) -> None:
    golden = tmp_path / "golden"
    (golden / "model").mkdir(parents=True)
    (golden / "june.txt").write_text("rows")
    (golden / "link.txt").symlink_to(foreign / "secret.txt")
    (golden / "inner.txt").symlink_to(golden / "june.txt")
    (golden / "model" / "data").symlink_to(foreign)
    (golden / ".env").write_text("secret")
    (golden / "open.txt").symlink_to(golden / ".env")
    (tmp_path / "alias").symlink_to(golden)
    listing = Registry(registry.tracking_uri, allowed_uris=(tmp_path / "alias").as_uri())
    for name in ("june.txt", "inner.txt"):
        assert listing.download(f"{tmp_path}/alias/{name}", tmp_path / "out").read_text() == "rows"
    for name in ("link.txt", "model", "model/data/secret.txt", "open.txt"):
        with pytest.raises(Refused, match="a symbolic link leads from it to another place"):
            listing.download(f"{tmp_path}/alias/{name}", tmp_path / "out")
    for uri in (f"{tmp_path}/alias/.env", str(golden / "june.txt"), str(foreign / "secret.txt"), "/etc/passwd"):
        with pytest.raises(Refused, match=f"it is a file outside the registry and below no prefix in {SETTING}"):
            listing.download(uri, tmp_path / "out")
    with pytest.raises(NotFound):
        listing.download(f"{tmp_path}/alias/nowhere.txt", tmp_path / "out")


def test_a_link_in_the_registrys_own_root_leads_nowhere_else(registry: Registry, foreign: Path, tmp_path: Path) -> None:
    run = kept(registry)
    (own(registry, run) / "datasets" / "out%20side.txt").symlink_to(foreign / "secret.txt")
    for uri in (f"runs:/{run}/datasets/out%20side.txt", f"runs:/{run}/datasets"):
        with pytest.raises(Refused, match="symbolic link"):
            registry.download(uri, tmp_path / "out")
