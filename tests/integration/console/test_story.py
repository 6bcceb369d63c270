"""The screen of a story, in Chromium: compact, in full, its chart in numbers, and nothing runs as a script."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts import DriftDetected, DriftKind, DriftWindow, ModelRegistered, TrainingFailed, new_envelope
from support.browser import Browser, assert_accessible_everywhere
from support.bus_client import BusClient
from support.gatekeepers import Gatekeepers
from support.waiting import eventually

HOSTILE = "<script>document.title='run'</script>"


def test_a_story_is_a_waterfall_and_a_line_a_step(
    browser: Browser, gatekeeper: Gatekeepers, bus: BusClient, model_name: str
) -> None:
    now = datetime.now(UTC)
    window = DriftWindow(id="w", rows=10, start=now, end=now)
    fields = {"model_name": model_name, "model_version": 1, "kind": DriftKind.DATA, "window": window, "reason": HOSTILE}
    drift = bus.publish(DriftDetected.model_validate(fields))
    failed = TrainingFailed(model_name=model_name, job_id="j", reason=HOSTILE)
    for event in (failed, ModelRegistered(model_name=model_name, model_version=2)):
        bus.send(new_envelope(event, source="test", cause=drift))

    def steps() -> Any:
        response = gatekeeper.client.get(f"{gatekeeper.url()}/stories/{drift.id}")
        return len(response.json().get("steps", ())) >= 4  # with the job of the gates

    eventually(steps)
    with browser.visiting(gatekeeper.url()) as page:
        page.goto(f"/console/stories?model={model_name}")
        page.get_by_role("link", name="DriftDetected").press("Enter")
        page.wait_for_url(f"**/console/stories/{drift.id}")
        assert page.get_by_role("heading", level=1).inner_text() == f"DriftDetected of {model_name} v1"
        assert "was not reached" in page.get_by_role("status").all_inner_texts()[-1]
        rows = page.get_by_role("group", name="Steps of the story").get_by_role("row")
        words = rows.all_inner_texts()
        assert any("TrainingFailed" in each and "failed" in each and HOSTILE in each for each in words)
        page.get_by_text("The numbers").press("Enter")
        assert page.get_by_role("group", name="The numbers of").get_by_role("row").count() >= 5
        assert_accessible_everywhere(page)
        page.get_by_role("link", name="In full").press("Enter")
        page.wait_for_url("**?full=1")
        assert page.get_by_text(f"job:gate:{model_name}").count() >= 1
        assert page.title().startswith("Story of")
        page.goto("/console/stories/nothing-like-it")
        assert "/console/stories lists" in page.inner_text("main")
