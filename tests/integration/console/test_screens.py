"""Every screen in Chromium: accessible in both schemes and at both widths, and nothing is fetched from elsewhere."""

from __future__ import annotations

import pytest

from support.browser import SCREENS, Browser, assert_accessible_everywhere
from support.gatekeepers import Gatekeepers


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_accessible_and_fetches_nothing_from_elsewhere(
    name: str, browser: Browser, gatekeeper: Gatekeepers, model_name: str
) -> None:
    with browser.visiting(gatekeeper.url()) as page:
        response = page.goto(SCREENS[name].format(model=model_name))
        assert response is not None and response.status == 200, page.content()
        assert_accessible_everywhere(page)
