"""/docs of every service in Chromium, without internet: operations are shown, and one is sent with a token."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from chassis.auth.roles import Role
from chassis.auth.tokens import create_token
from support.browser import Browser
from support.consoles import listening

OPERATIONS = {
    "gatekeeper": "/models/{model_name}/promote",
    "trainer": "/jobs",
    "drift": "/models/{name}",
    "serving": "/models/{model_name}/predict",
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_page_of_the_api_shows_its_operations_and_sends_one(
    name: str, browser: Browser, tmp_path: Path, no_registry_of_other_tests: None
) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "tokens.yaml"
    token = create_token(file, "ann", [Role.VIEWER])
    settings = import_module(f"{name}.settings").Settings(
        _env_file=None,
        data_dir=tmp_path,
        policies_dir=tmp_path / "policies",
        mlflow_tracking_uri="http://127.0.0.1:9",  # nothing listens there
        auth="tokens",
        auth_tokens_file=file,
    )
    app = import_module(f"{name}.app").build(settings)
    app.state.access.parts[-1].look()  # the parts do not run: what the file of tokens holds, by two looks
    app.state.access.parts[-1].look()
    with listening(app) as url, browser.visiting(url) as page:
        page.goto("/docs")
        page.wait_for_selector(".opblock")
        shown = [each.inner_text().replace("\u200b", "") for each in page.query_selector_all(".opblock-summary-path")]
        assert OPERATIONS[name] in shown, shown
        page.click("button.authorize")
        page.fill(".auth-container input", token)
        page.click(".auth-container button.authorize")
        page.click(".auth-btn-wrapper .btn-done")
        page.click(".opblock-summary:has-text('/whoami')")
        page.click("text=Try it out")
        page.click("button.execute")
        page.wait_for_selector(".live-responses-table .response-col_status:has-text('200')")
        assert '"ann"' in page.inner_text(".live-responses-table")
