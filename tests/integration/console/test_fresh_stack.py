"""The console before anything was registered, and its addresses that lead nowhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from chassis.database import Database
from gatekeeper.app import build
from gatekeeper.settings import Settings
from support.browser import Browser, assert_accessible_everywhere
from support.consoles import listening

REPOSITORY = Path(__file__).resolve().parents[3]
README = REPOSITORY / "README.md"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("fresh")
    with console(folder, "flights-delay.yaml") as address:
        yield address


@contextmanager
def console(folder: Path, *policies: str) -> Iterator[str]:
    """A gatekeeper that has judged nothing, with these policies; all that it needs is away."""
    (folder / "policies").mkdir()
    for policy in policies:
        shutil.copy(REPOSITORY / "policies" / policy, folder / "policies")
    url = f"sqlite:///{folder / 'test.db'}"
    database = Database(url)
    database.migrate("gatekeeper")
    database.close()
    away = {f"{name}_url": NOBODY for name in ("drift", "serving", "trainer")}
    settings = Settings(
        _env_file=None,
        data_dir=folder,
        database_url=url,
        policies_dir=folder / "policies",
        mlflow_tracking_uri=NOBODY,
        **away,
    )
    with listening(build(settings)) as address:
        yield address


def test_a_fresh_overview_says_how_to_begin_with_the_commands_of_the_readme(browser: Browser, fresh: str) -> None:
    readme = README.read_text()
    with browser.visiting(fresh, failing="/console/live") as page:
        page.goto("/")
        commands = page.locator("main pre").all_inner_texts()
        assert len(commands) == 3
        for command in commands[:2]:
            lines = [line for line in readme.splitlines() if line.startswith(f"{command} ")]
            assert lines, f"README has no {command!r}"
        assert f"`{commands[2].removeprefix('.venv/bin/')}`" in readme
        assert_accessible_everywhere(page)


def test_without_the_policy_of_the_example_it_begins_with_ones_own_model(browser: Browser, tmp_path: Path) -> None:
    with console(tmp_path) as address, browser.visiting(address, failing="/console/live") as page:
        page.goto("/")
        commands = page.locator("main pre").all_inner_texts()
        assert commands == ["gauntlet try NAME 1", "gauntlet register NAME 1 --wait", "gauntlet show NAME 1"]
        assert page.query_selector("table") is None, "there is no model yet"


def test_an_address_that_leads_nowhere_is_a_page_that_says_what_to_do(browser: Browser, fresh: str) -> None:
    with browser.visiting(fresh, failing="/console/live") as page:
        for path in ("/console/nowhere", "/console/models/", "/console/models/m/no/such/page"):
            response = page.goto(path)
            assert response is not None and response.status == 404, path
            assert f"The console has no page {path}." in page.inner_text("main")
        response = page.goto("/console/logout")
        assert response is not None and response.status == 405 and response.headers["allow"] == "POST"
        assert "/console/logout takes no GET" in page.inner_text("main")
        page.click("main a:text-is('Overview')")
        page.wait_for_url(f"{fresh}/")
        for path in ("/console", "/console/"):
            page.goto(path)
            assert page.url == f"{fresh}/"


def test_the_picture_that_browsers_look_for_is_there(fresh: str) -> None:
    """Headless browsers look for none."""
    with httpx.Client(base_url=fresh, trust_env=False) as client:
        linked, sought = client.get("/console/static/icon.svg"), client.get("/favicon.ico")
        assert linked.status_code == sought.status_code == 200
        assert linked.content == sought.content and sought.headers["content-type"] == "image/svg+xml"
        assert 'href="/console/static/icon.svg"' in client.get("/").text
