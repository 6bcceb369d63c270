"""Log in and out in a browser, by keyboard, with and without scripts."""

from __future__ import annotations

import pytest

from support.browser import COOKIE, Browser, assert_accessible_everywhere
from support.consoles import Secured, reach


@pytest.mark.parametrize("scripts", [True, False])
def test_a_page_leads_to_the_form_and_the_form_back_to_the_page(
    browser: Browser, secured: Secured, scripts: bool
) -> None:
    with browser.visiting(secured.service.url(), scripts=scripts) as page:
        response = page.goto("/?from=mail")
        assert response is not None and response.status == 401
        if scripts:
            assert_accessible_everywhere(page)
        for token, lands in (("wrong", "/console/login"), (secured.tokens["viewer"], "/?from=mail")):
            page.focus("#token")
            page.keyboard.type(token)
            with page.expect_navigation():
                page.keyboard.press("Enter")
            assert page.url == secured.service.url() + lands
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (COOKIE, True, "Strict")
        assert page.inner_text(".who .soft") == "viewer"
        if scripts:
            page.wait_for_selector("#live[data-state=live]")
            assert page.evaluate("document.cookie") == ""
            reach(page, ".who button")
            with page.expect_navigation():
                page.keyboard.press("Enter")
        else:
            page.click(".who button")
        assert page.context.cookies() == []
    assert secured.tokens["viewer"] not in (secured.service.folder / "gatekeeper.log").read_text()
