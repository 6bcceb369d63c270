"""Pages in a real Chromium: what a page must not do, its accessibility, and the list of the console's screens.

`browser` (of tests/conftest.py) is one Chromium a test module: while playwright's synchronous API runs, its event loop
counts as the running one of this thread, so tests that call `asyncio.run` must be in other modules.

    def test_it(browser: Browser, …) -> None:
        with browser.visiting(gatekeeper.url(), width=390, scheme="dark") as page:
            page.goto("/console/fleet")          # paths are relative to that address
            assert_accessible(page)
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    import playwright.sync_api as playwright

SCREENS = {
    "overview": "/",
    "login": "/console/login",
    "problem": "/console/models/no-such-model/decide/freeze",
    "promote": "/console/models/{model}/decide/promote?version={version}",
    "rollback": "/console/models/{model}/decide/rollback",
    "freeze": "/console/models/{model}/decide/freeze",
    "unfreeze, impossible": "/console/models/{model}/decide/unfreeze",
    "approve": "/console/models/{waiting}/decide/approve",
    "refuse": "/console/models/{waiting}/decide/refuse",
    "abort": "/console/models/{trying}/decide/abort",
    "rollout": "/console/models/{trying}/rollout",
    "rollout, none": "/console/models/{model}/rollout",
    "drift, away": "/console/models/{model}/drift",
    "fleet": "/console/fleet",
    "operations": "/console/operations",
    "stories": "/console/stories",
    "model": "/console/models/{model}",
    "verdict, passed": "/console/models/{model}/versions/2",
    "verdict, failed": "/console/models/{model}/versions/{version}",
    "verdict, waits for people": "/console/models/{waiting}/versions/1",
    "policy": "/console/models/{model}/policy",
    "audit": "/console/audit",
}
"""Every screen by name, as a path of what `World` (support.consoles) knows: a new screen is a line here, and is
visited and judged for accessibility in both schemes and widths."""

WIDTHS = (1300, 390)
SCHEMES = ("light", "dark")
HEIGHT = 900
COOKIE = "gauntlet_token"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # Whatever a page wants from elsewhere, it does not get it: no test depends on the machine's network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
SERIOUS = ("serious", "critical")


@dataclass
class Findings:
    """What a page did that it must not do."""

    host: str
    failing: str | None = None
    """A path whose requests the test itself has fail."""
    found: list[str] = field(default_factory=list)

    def watch(self, context: playwright.BrowserContext) -> None:
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.found.append(f"script error: {error.error}"))
        context.on("dialog", self._dialog)

    def _request(self, request: playwright.Request) -> None:
        split = urlsplit(request.url)
        if split.scheme not in ("data", "blob", "about") and split.netloc != self.host:
            self.found.append(f"request to another host: {request.url}")

    def _response(self, response: playwright.Response) -> None:
        meant = response.request.resource_type == "document" or urlsplit(response.url).path == self.failing
        if response.status >= 400 and not meant:
            self.found.append(f"{response.status} for {response.url}")

    def _console(self, message: playwright.ConsoleMessage) -> None:
        # A status of 400 and above: of a page it may be what the test wants; anything else is found above.
        if message.type == "error" and not message.text.startswith("Failed to load resource: the server responded"):
            self.found.append(f"console error, or a violation of the content security policy: {message.text}")

    def _dialog(self, dialog: playwright.Dialog) -> None:
        self.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()


class Browser:
    """One Chromium; each visit has cookies and storage of its own."""

    def __init__(self, chromium: playwright.Browser) -> None:
        self._chromium = chromium

    @contextmanager
    def visiting(
        self,
        url: str,
        *,
        width: int = 1300,
        scheme: Any = "light",
        scripts: bool = True,
        token: str | None = None,
        failing: str | None = None,
    ) -> Iterator[playwright.Page]:
        """A page of the service at `url`. Fails at the end if it did what no page may do (`Findings`).

        `token`: as if somebody had logged in with it. `failing`: a path whose requests the test has fail.
        """
        context = self._chromium.new_context(
            base_url=url,
            viewport={"width": width, "height": HEIGHT},
            color_scheme=scheme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        context.set_default_timeout(15_000)
        if token is not None:
            context.add_cookies([{"name": COOKIE, "value": token, "url": url, "sameSite": "Strict"}])
        findings = Findings(urlsplit(url).netloc, failing)
        findings.watch(context)
        try:
            yield context.new_page()
        finally:
            context.close()
        assert findings.found == []


def assert_accessible(page: playwright.Page) -> None:
    """Fail for serious and critical findings of axe, and for a page that scrolls sideways as a whole."""
    found = [
        f"{each['id']} ({each['impact']}): {each['help']}\n"
        + "\n".join(
            f"    {node['target']}: {node['html'][:200]}\n      {node['failureSummary']}" for node in each["nodes"]
        )
        for each in _axe().run(page).response["violations"]
        if each["impact"] in SERIOUS
    ]
    assert found == [], page.url + "\n" + "\n".join(found)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} px wider than its window; let tables scroll in a div.scroll"


def assert_accessible_everywhere(page: playwright.Page) -> None:
    """The same in both schemes and at both widths, without loading the page again."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert_accessible(page)


@cache
def _axe() -> Any:
    from axe_playwright_python.sync_playwright import Axe

    return Axe()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a Chromium; where there is none, the test is skipped, and says so."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield Browser(started)
        finally:
            started.close()
