"""Model, Verdict, Policy and Audit over HTTP and in Chromium, of a real gatekeeper with real verdicts."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from urllib.parse import quote

import pytest

from support.browser import Browser
from support.bus_client import BusClient
from support.candidates import Candidates
from support.gatekeepers import POLICY, Gatekeepers, NameOf
from support.waiting import eventually

NASTY = "<script>alert(1)</script><b>really</b>"
VERSIONS = ("fair", "good", "worse")


@pytest.fixture(scope="module")
def past(gatekeeper_on: Callable[..., Gatekeepers], candidates: Candidates) -> tuple[Gatekeepers, str]:
    """A gatekeeper, and a model of which v1 was champion, v2 is, and v3 failed; it is frozen."""
    gatekeeper = gatekeeper_on("open")
    name = gatekeeper.names["plain"].pop()
    bus = BusClient(gatekeeper.bootstrap_servers, gatekeeper.prefix)
    for version, kind in enumerate(VERSIONS, 1):
        bus.publish(candidates.version(name, kind))
        gatekeeper.judged(name, version)
    bus.close()
    assert gatekeeper.post(f"/models/{name}/freeze", {"actor": NASTY, "reason": NASTY}).status_code == 200
    return gatekeeper, name


def shown(gatekeeper: Gatekeepers, path: str, status: int = 200) -> str:
    response = gatekeeper.client.get(gatekeeper.url() + path)
    assert response.status_code == status, response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    return response.text


def shows(gatekeeper: Gatekeepers, path: str, what: str) -> str:
    """The page, once it shows this."""

    def found() -> str | None:
        html = shown(gatekeeper, path)
        return html if what in html else None

    return eventually(found)


def test_the_model_screen_has_champion_freeze_chart_and_timeline(past: tuple[Gatekeepers, str]) -> None:
    gatekeeper, name = past
    html = shown(gatekeeper, f"/console/models/{name}")
    assert f'href="/console/models/{name}/versions/2">Version 2</a>, promoted' in html
    assert NASTY not in html and "&lt;script&gt;alert(1)" in html
    assert 'id="metric-by-version-title"' in html and "v1 to v3; greater is better" in html
    for number in (1, 2, 3):
        story = gatekeeper.candidate(name, number)["correlation_id"]
        assert f'href="/console/stories/{story}"' in html
    assert html.count(">Champion</span>") == 2 and "decide/unfreeze" in html and "decide/rollback?version=1" in html
    assert "is no place in a timeline" in shown(gatekeeper, f"/console/models/{name}?before=x", 422)
    assert "Nothing is older" in shown(gatekeeper, f"/console/models/{name}?before=1.0.1")


def test_an_empty_model_says_what_to_do(gatekeeper: Gatekeepers, model_name: str) -> None:
    assert f"gauntlet register {model_name} VERSION" in shown(gatekeeper, f"/console/models/{model_name}")
    assert "was never registered" in shown(gatekeeper, f"/console/models/{model_name}/versions/1", 404)


def test_the_verdict_screen_draws_both_versions(past: tuple[Gatekeepers, str]) -> None:
    gatekeeper, name = past
    verdicts = {each["gate"]: each for each in gatekeeper.candidate(name, 2)["verdicts"]}
    found = verdicts["performance"]["details"]
    html = eventually(
        lambda: (text := shown(gatekeeper, f"/console/models/{name}/versions/2")) and "roc-title" in text and text
    )
    assert f"v2 {found['challenger']:.4f}, champion v1 {found['champion']:.4f}" in html
    assert 'id="calibration-title"' in html
    report = gatekeeper.client.get(f"{gatekeeper.url()}/models/{name}/candidates/2/report").text
    for reason in (each["reason"] for each in verdicts.values()):
        assert reason in unescape(html) and reason in unescape(report)
    assert "/console/static" not in report, "one file that needs no other"
    html = eventually(
        lambda: (text := shown(gatekeeper, f"/console/models/{name}/versions/1")) and "roc-title" in text and text
    )
    assert "There was no champion to compare it with." in html


def test_a_version_that_waits_is_approved_on_its_verdict_bound_to_the_evidence(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates, browser: Browser
) -> None:
    model_name = name_of("approved")
    for version in (1, 2):
        bus.publish(candidates.version(model_name, VERSIONS[version - 1]))
        gatekeeper.judged(model_name, version)
        with browser.visiting(gatekeeper.url(), scripts=False) as page:
            page.goto(f"/console/models/{model_name}")
            page.get_by_role("link", name="to approve or refuse").click()
            [rollout] = gatekeeper.get(f"/rollouts?model_name={model_name}&active=true")["rollouts"]
            assert page.input_value("[name=verdict_digest]") == rollout["verdict_digest"]
            page.fill("#reason", "looks good")
            page.fill("#actor", "ann")
            page.get_by_role("button", name=f"Approve v{version}" if version == 1 else f"Refuse v{version}").click()
            page.wait_for_url("**/console/models/*?done=*")
            assert "by ann: looks good" in page.inner_text("main")
    assert gatekeeper.champion(model_name) == 1


def test_the_policy_is_shown_in_words_and_tried_on_past_verdicts(past: tuple[Gatekeepers, str]) -> None:
    gatekeeper, name = past
    path = f"/console/models/{name}/policy"
    html = shown(gatekeeper, path)
    assert "Its roc_auc must not be worse than that of the champion" in html
    assert gatekeeper.get("/ready")["policies"]["in_force"][name]["digest"] in html
    rows = len(gatekeeper.get("/audit?limit=1000"))

    def tried(text: str) -> str:
        origin = {"Origin": gatekeeper.url()}
        response = gatekeeper.client.post(gatekeeper.url() + path, data={"text": text}, headers=origin)
        assert response.status_code == 200, response.text
        return response.text

    text = (gatekeeper.folder / "policies" / f"{name}.yaml").read_text()
    assert "None of 3 verdicts would have been otherwise" in tried(text)
    html = tried(text.replace("roc_auc: 0.6", "roc_auc: 0.999"))
    assert "of 3 verdicts would have been otherwise" in html and "against the floor 0.9990" in html
    assert "Nothing was evaluated" in tried("model: [") and "Nothing was evaluated" in tried("model: other")
    assert "&lt;/textarea&gt;" in tried("</textarea><script>")
    assert len(gatekeeper.get("/audit?limit=1000")) == rows, "nothing is recorded"
    assert POLICY["gates"]["performance"] == {"floor": {"roc_auc": 0.6}}


def test_a_policy_that_cannot_be_read_is_named(gatekeeper: Gatekeepers, model_name: str) -> None:
    (gatekeeper.folder / "policies" / f"{model_name}.yaml").write_text(f"model: {model_name}\nmetric: roc_auk\n")
    html = eventually(
        lambda: (
            (text := shown(gatekeeper, f"/console/models/{model_name}/policy")) and "cannot be used" in text and text
        )
    )
    assert "roc_auk" in html and "last good one stays in force" in html


def test_the_audit_screen_is_filtered_paged_and_verified(past: tuple[Gatekeepers, str]) -> None:
    gatekeeper, name = past
    html = shown(gatekeeper, f"/console/audit?model={name}&action=judged")
    assert html.count("<td>judged</td>") == 3 and "<td>promoted</td>" not in html
    assert html.count("<td>frozen</td>") == 0 and NASTY not in html
    by = shown(gatekeeper, f"/console/audit?model={name}&actor={quote(NASTY, safe='')}")
    assert by.count("<td>frozen</td>") == 1
    head = gatekeeper.get("/audit/verify")
    assert head["digest"] in shown(gatekeeper, "/console/audit")
    response = gatekeeper.client.get(f"{gatekeeper.url()}/console/audit/verify")
    assert (response.status_code, response.headers["location"]) == (303, "/console/audit#chain")
    eventually(lambda: f"whole</span>: {head['rows']:,} rows" in shown(gatekeeper, "/console/audit"))
    assert "No row fits" in shown(gatekeeper, "/console/audit?action=nothing")
