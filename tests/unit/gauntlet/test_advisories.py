"""`gauntlet advisories`: filled from an address or a file, its state shown; what cannot be fetched is said plainly."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gauntlet import advisories
from gauntlet.commands.advisories import app
from gauntlet.errors import CliError

ADVISORY = {
    "id": "PYSEC-1",
    "modified": "2020-01-01T00:00:00Z",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "ham"}, "versions": ["1.0"]}],
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        return None


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served" / "all.zip", "w") as archive:
        archive.writestr("PYSEC-1.json", json.dumps(ADVISORY))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_from_an_address_into_the_gatekeepers_folder_and_shown_with_its_age(address: str) -> None:
    command = CliRunner()
    made = command.invoke(app, ["update", "--from", f"{address}/all.zip", "--data-dir", "data"])
    assert made.exit_code == 0, made.output
    folder = Path("data/advisories").absolute()
    assert f"{folder}: 1 advisories of 1 packages, as of 2020-01-01 (" in made.output
    found = advisories.state_in(folder)
    assert found is not None and found.is_old and found.source == f"{address}/all.zip"
    shown = json.loads(command.invoke(app, ["show", "--json", "--data-dir", "data"]).output)
    assert (shown["advisories"], shown["old"], shown["covered"]) == (1, True, None)
    assert "gauntlet advisories update" in command.invoke(app, ["show", "--data-dir", "data"]).output


def test_the_setting_of_the_gatekeeper_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert advisories.folder_of(Path("data")) == Path("data/advisories").absolute()
    monkeypatch.setenv("GATEKEEPER_ADVISORIES_DIR", str(tmp_path / "osv"))
    assert advisories.folder_of(Path("data")) == tmp_path / "osv"


def test_what_cannot_be_fetched_is_said_with_the_way_that_needs_no_network(address: str) -> None:
    folder = Path("data/advisories").absolute()
    for url, says in (
        (f"{address}/nowhere.zip", "File not found"),
        ("http://127.0.0.1:9/all.zip", "refused"),
        ("http://", "cannot be fetched"),
    ):
        with pytest.raises(CliError, match="^not updated: .*" + says) as caught:
            advisories.filled(folder, url)
        assert "gauntlet advisories update --from FILE" in str(caught.value.hint)
    with pytest.raises(CliError, match="there is no "):
        advisories.filled(folder, "nowhere.zip")
    Path("text.zip").write_text("text")
    with pytest.raises(CliError, match=r"text\.zip is neither a zip of OSV's export nor JSON"):
        advisories.filled(folder, "text.zip")
    assert advisories.state_in(folder) is None
    assert isinstance(CliRunner().invoke(app, ["show", "--data-dir", "data"]).exception, CliError)
