"""Every screen in Chromium: accessible in both schemes and at both widths, and nothing is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.browser import SCREENS, Browser, assert_accessible_everywhere
from support.consoles import World, waits_for_people
from support.gatekeepers import Gatekeepers, NameOf


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_accessible_and_fetches_nothing_from_elsewhere(
    name: str, browser: Browser, gatekeeper: Gatekeepers, world: World
) -> None:
    with browser.visiting(gatekeeper.url()) as page:
        response = page.goto(world.path(SCREENS[name]))
        assert response is not None
        assert response.status == (404 if name == "problem" else 200), page.content()
        assert_accessible_everywhere(page)


def test_the_overview_begins_with_what_needs_somebody(browser: Browser, gatekeeper: Gatekeepers, world: World) -> None:
    with browser.visiting(gatekeeper.url()) as page:
        page.goto("/")
        needs = page.inner_text("ul.needs")
        assert f"{world.waiting}: approval" in needs and "waits for 1 of 1 people" in needs
        assert "broken.yaml" in needs and "<b>none</b>" in needs
        page.click(f"text={world.waiting} >> xpath=ancestor::li >> a.button:has-text('Approve v1')")
        page.wait_for_url("**/decide/approve")
        page.go_back()
        row = page.inner_text(f"tr:has-text('{world.trying}')")
        assert "v1" in row and "v2 shadow" in row and "1/1" in row


def test_a_decision_shows_on_an_open_page(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Callable[..., int]
) -> None:
    """What somebody types, and what they have opened, stays as it is."""
    name = name_of("plain")
    judged(gatekeeper, name, "fair")
    who = {"actor": "ada", "reason": "because"}
    with browser.visiting(gatekeeper.url()) as page:
        page.goto("/")
        page.wait_for_selector("#live[data-state=live]")
        assert page.query_selector(f"tr:has-text('{name}') .badge") is None
        page.focus(f"tr:has-text('{name}') a")
        assert gatekeeper.post(f"/models/{name}/freeze", who).status_code == 200
        page.wait_for_selector(f"tr:has-text('{name}') .badge:has-text('frozen')")
        assert page.evaluate("document.activeElement.textContent") == name, "the focus has moved"


def test_what_somebody_types_stays_while_the_model_changes(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Callable[..., int]
) -> None:
    name = name_of("approved")
    judged(gatekeeper, name, "fair")
    waits_for_people(gatekeeper, name)
    with browser.visiting(gatekeeper.url()) as page:
        page.goto(f"/console/models/{name}/versions/1")
        page.wait_for_selector("#live[data-state=live]")
        page.fill("#reason", "half a sen")
        page.evaluate("document.activeElement.blur()")
        assert gatekeeper.post(f"/models/{name}/rollout/abort", {"actor": "ada", "reason": "x"}).status_code == 200
        other = name_of("plain")  # its message comes after the one of the abort
        with page.context.new_page() as overview:
            overview.goto("/")
            overview.wait_for_selector("#live[data-state=live]")
            assert gatekeeper.post(f"/models/{other}/freeze", {"actor": "ada", "reason": "x"}).status_code == 200
            overview.wait_for_selector(f"tr:has-text('{other}') .badge:has-text('frozen')")
        assert page.input_value("#reason") == "half a sen"
        page.fill("#reason", "")
        page.focus("a.brand")
        page.wait_for_selector("#approval", state="detached")


def test_a_page_says_when_it_is_not_live_and_connects_again(browser: Browser, gatekeeper: Gatekeepers) -> None:
    with browser.visiting(gatekeeper.url(), failing="/console/live") as page:
        page.route("**/console/live*", lambda route: route.fulfill(status=503, body=""))
        page.goto("/")
        page.wait_for_selector("#live[data-state=lost]")
        assert page.inner_text("#live") == "not live"
        page.unroute("**/console/live*")
        page.wait_for_selector("#live[data-state=live]")


def test_the_eighth_tab_of_a_browser_is_live_and_the_first_one_when_it_is_shown_again(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Callable[..., int]
) -> None:
    """A browser has six connections to a host, for all its tabs. Playwright's are all visible: a script hides them."""
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    name = name_of("plain")
    judged(gatekeeper, name, "fair")
    frozen = f"tr:has-text('{name}') .badge:has-text('frozen')"
    with browser.visiting(gatekeeper.url()) as first:
        tabs = [first, *(first.context.new_page() for _ in range(7))]
        for tab in tabs:
            tab.goto("/")
            tab.wait_for_selector("#live[data-state=live]")
            if tab is not tabs[-1]:
                tab.evaluate(hide, True)
        assert gatekeeper.post(f"/models/{name}/freeze", {"actor": "ada", "reason": "x"}).status_code == 200
        tabs[-1].wait_for_selector(frozen)
        assert first.query_selector(frozen) is None, "a page that nobody sees is connected"
        first.evaluate(hide, False)
        first.wait_for_selector(frozen)
