"""Rollout, Drift, Fleet and Operations of a real gatekeeper, in Chromium; drift, serving and trainer are away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts import DriftDetected
from contracts.production import DriftKind, DriftWindow
from support.browser import Browser, assert_accessible
from support.bus_client import BusClient
from support.candidates import Candidates
from support.gatekeepers import Gatekeepers
from support.rollouts import Rolling
from support.waiting import eventually

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
SHADOW = {"shadow": {"rows": "500..5000", "on": ["metric", "errors"]}}


def shows(page: Any, path: str, *parts: str) -> bool:
    """Whether the page at `path` has these texts, as text."""
    page.goto(path)
    text = page.locator("main").inner_text()
    missing = [part for part in parts if part not in text]
    assert missing == [], f"{missing} not in {text}"
    return True


def test_a_dead_letter_is_read_and_replayed_by_keyboard(
    browser: Browser, gatekeeper: Gatekeepers, bus: BusClient, model_name: str
) -> None:
    bus.raw("model-registered", model_name.encode(), f"no event {HOSTILE}".encode())
    mine = eventually(lambda: [each for each in bus.dead_letters().values() if each.key == model_name.encode()])
    with browser.visiting(gatekeeper.url()) as page:
        eventually(lambda: shows(page, "/console/operations", mine[0].id, "is away"))
        item = f"ul.needs li:has(a:text-is('{model_name}: dead letters'))"
        page.goto("/")
        assert "1 message could not be handled, the last by gatekeeper" in page.inner_text(item)
        page.click(f"{item} a")
        page.wait_for_url("**/console/operations#dead-letters")
        page.get_by_role("link", name=mine[0].id).focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/dead-letter?id=*")
        assert HOSTILE in page.locator("pre").inner_text()
        assert_accessible(page)
        page.get_by_label("Reason").focus()
        page.keyboard.type("the producer was mended")
        page.keyboard.press("Tab")
        page.keyboard.type("ada")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/operations?replayed=*")
        assert "was sent to its topic again" in page.locator("main").inner_text()
        again = eventually(lambda: [each for each in bus.dead_letters() if each.startswith("gatekeeper:model-reg")])
        assert mine[0].id not in again  # the letter is gone, and the message, which is still no event, has a new one
        response = page.goto(f"/console/operations/dead-letter?id={mine[0].id}")
        assert response is not None and response.status == 404
    rows = gatekeeper.get(f"/audit?model={model_name}")
    assert [(each["action"], each["actor"], each["reason"]) for each in rows] == [
        ("dead letter replayed", "ada", "the producer was mended")
    ]


def test_a_rollout_shows_its_evidence_and_what_would_end_it(
    browser: Browser, gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates
) -> None:
    rolling = Rolling(gatekeeper, bus, candidates)
    rolling.policy(strategy=[SHADOW])
    eventually(lambda: gatekeeper.get(f"/models/{rolling.name}")["strategy"])
    rolling.champion()
    rolling.register("good")
    shadow = rolling.at("shadow")
    path = f"/console/models/{rolling.name}/rollout"
    with browser.visiting(gatekeeper.url()) as page:
        assert shows(page, path, "Nothing was measured in this step yet", "Shadow: it predicts every request")
        rolling.measured(shadow, n=50, wins=4, losses=2)
        rolling.at("shadow", waits_for="50 of at least 500 labelled units")
        rolling.measured(shadow, n=400, wins=30, losses=20)
        rolling.at("shadow", waits_for="400 of at least 500 labelled units")
        assert shows(page, path, "400 of 500", "it is better", "20 to 1 decides", "Nobody has approved")
        charts = page.locator("figure.chart figcaption").all_inner_texts()
        assert charts == ["Metric: is it better, is it worse?", "Errors: does it fail more often?"]
        rows = page.locator("figure.chart").first.locator("tbody tr")
        assert rows.count() >= 1  # a point was kept, or it is the newest sums
        assert_accessible(page)
        page.set_viewport_size({"width": 390, "height": 900})
        assert_accessible(page)
        assert (
            page.get_by_role("link", name="Abort…").get_attribute("href")
            == f"/console/models/{rolling.name}/decide/abort"
        )
        rolling.measured(shadow, n=700, wins=90, losses=10)
        eventually(lambda: shows(page, path, "promoted", "it is better"))
        rollout = rolling.running()["rollout_id"]
        assert shows(page, f"/console/rollouts/{rollout}?step=0", "mean loss lower by", "Evidence over time")


def test_drift_that_is_away_shows_what_the_gatekeeper_was_told(
    browser: Browser, gatekeeper: Gatekeepers, bus: BusClient, model_name: str
) -> None:
    now = datetime.now(UTC)
    window = DriftWindow(id="w1", rows=500, start=now, end=now)
    event = DriftDetected(model_name=model_name, model_version=1, kind=DriftKind.DATA, window=window, reason=HOSTILE)
    bus.publish(event)
    with browser.visiting(gatekeeper.url()) as page:
        eventually(lambda: shows(page, f"/console/models/{model_name}/drift", "The drift service is away", HOSTILE))


def test_the_fleet_shows_every_replica_and_what_it_lacks(
    browser: Browser, gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates
) -> None:
    rolling = Rolling(gatekeeper, bus, candidates, name=gatekeeper.names["plain"].pop())
    rolling.load_failed(2, epoch=1)
    rolling.loaded(1, epoch=1)
    with browser.visiting(gatekeeper.url(), width=390) as page:
        parts = (rolling.name, "production-1", "v1", "epoch 1", "ValueError: cannot be read", "serving service is away")
        eventually(lambda: shows(page, "/console/fleet", *parts))
        assert_accessible(page)
