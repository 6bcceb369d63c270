"""People's decisions on the pages of the console: by keyboard, once, bound to what the page showed, and as text."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.browser import Browser
from support.consoles import Secured, fill_in, waits_for_people
from support.gatekeepers import Gatekeepers, NameOf
from support.waiting import eventually

Judged = Callable[..., int]

HOSTILE = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
OTHER_DIGEST = "sha256:" + "0" * 64


def decide(name: str, decision: str) -> str:
    return f"/console/models/{name}/decide/{decision}"


def audited(service: Gatekeepers, name: str, action: str) -> list[Any]:
    return [row for row in service.get(f"/audit?model={name}") if row["action"] == action]


def post(service: Gatekeepers, path: str, form: dict[str, Any], **headers: str) -> Any:
    own = {"Origin": service.url(), **headers}
    return service.client.post(service.url() + path, data=form, headers=own, follow_redirects=False)


def test_every_decision_on_a_champion_by_keyboard(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Judged
) -> None:
    name = name_of("plain")
    for kind in ("fair", "good", "worse"):
        judged(gatekeeper, name, kind)
    with browser.visiting(gatekeeper.url()) as page:
        page.goto(decide(name, "promote") + "?version=3")
        assert "v3 becomes champion with epoch 3, in place of v2." in page.inner_text("main")
        assert "this overrides the verdict" in page.inner_text("main")
        fill_in(page, "wanted")
        done = audited(gatekeeper, name, "promoted")[0]
        assert page.url.endswith(f"/console/models/{name}?done={done['sequence']}")
        assert (done["actor"], done["reason"], done["model_version"]) == ("ada", "wanted", 3)
        assert "Promoted v3 by ada: wanted" in page.inner_text("[role=status].good")
        assert gatekeeper.champion(name) == 3
        page.goto(decide(name, "rollback"))
        assert "v2 becomes champion again, with epoch 4, in place of v3." in page.inner_text("main")
        fill_in(page, "worse")
        assert gatekeeper.champion(name) == 2
        page.goto(decide(name, "freeze"))
        fill_in(page, "audit")
        assert gatekeeper.get(f"/models/{name}")["frozen_reason"] == "audit"
        page.goto(decide(name, "promote") + "?version=3")
        assert "the model is frozen; unfreeze it first" in page.inner_text("main")
        assert page.query_selector("form.decide") is None
        page.goto(decide(name, "unfreeze"))
        fill_in(page, "over")
        assert gatekeeper.get(f"/models/{name}")["frozen"] is False


def test_approving_and_refusing_by_keyboard(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Judged
) -> None:
    approved, refused = name_of("approved"), name_of("approved")
    for name in (approved, refused):
        judged(gatekeeper, name, "fair")
        waits_for_people(gatekeeper, name)
    with browser.visiting(gatekeeper.url(), width=390) as page:
        page.goto(decide(approved, "approve"))
        assert "the last approval that is needed: v1 becomes champion" in page.inner_text("main")
        fill_in(page, "looked at it")
        eventually(lambda: gatekeeper.champion(approved) == 1)
        assert audited(gatekeeper, approved, "approved")[0]["actor"] == "ada"
        page.goto(decide(refused, "refuse"))
        fill_in(page, "not now")
        assert audited(gatekeeper, refused, "rollout refused")[0]["reason"] == "not now"
        assert gatekeeper.champion(refused) is None
        page.goto(decide(refused, "abort"))
        assert "no rollout of this model is running" in page.inner_text("main")


def test_aborting_a_rollout_by_keyboard(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Judged
) -> None:
    name = name_of("shadowed")
    for kind in ("fair", "good"):
        judged(gatekeeper, name, kind)
    with browser.visiting(gatekeeper.url()) as page:
        page.goto(decide(name, "abort"))
        assert "Serving tries it no longer: v1 alone predicts." in page.inner_text("main")
        fill_in(page, "enough")
    (ended,) = audited(gatekeeper, name, "rollout aborted")
    assert (ended["model_version"], ended["actor"], ended["reason"]) == (2, "ada", "enough")


def test_evidence_that_has_changed_is_not_approved(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Judged
) -> None:
    name = name_of("approved")
    judged(gatekeeper, name, "fair")
    rollout = waits_for_people(gatekeeper, name)
    with browser.visiting(gatekeeper.url()) as page:
        page.goto(decide(name, "approve"))
        page.evaluate(f"document.querySelector('[name=verdict_digest]').value = '{OTHER_DIGEST}'")
        fill_in(page, "looked at it")
        assert "Nothing was decided." in page.inner_text("[role=alert]")
        assert "the evidence of" in page.inner_text("[role=alert]")
        assert page.input_value("#reason") == "looked at it" and page.input_value("#actor") == "ada"
        assert page.get_attribute("[name=verdict_digest]", "value") == rollout["verdict_digest"]
    assert audited(gatekeeper, name, "approved") == []


def test_the_same_form_sent_twice_decides_once(gatekeeper: Gatekeepers, name_of: NameOf, judged: Judged) -> None:
    name = name_of("plain")
    for kind in ("fair", "good"):
        judged(gatekeeper, name, kind)
    form = {"reason": "because", "actor": "ada", "version": 1, "epoch": 2}
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: post(gatekeeper, decide(name, "rollback"), form), range(2)))
    assert [answer.status_code for answer in answers] == [303, 303], [answer.text for answer in answers]
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert [row["epoch"] for row in gatekeeper.get(f"/models/{name}/promotions")] == [3, 2, 1]
    other = post(gatekeeper, decide(name, "rollback"), {**form, "version": 2, "reason": "no, back"})
    assert other.status_code == 409 and "the epoch is 3 now, not 2" in other.text


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"actor": "ada"}, 422, "Reason: say why"),
        ({"reason": "  ", "actor": "ada"}, 422, "Reason: say why"),
        ({"reason": "x"}, 422, "Actor: say who you are"),
        ({"reason": "x" * 1001, "actor": "ada"}, 422, "Reason: String should have at most 1000 characters"),
        ({"reason": "x", "actor": "ada", "version": "two"}, 422, "Model version: Input should be a valid integer"),
        ({"reason": "x", "actor": "ada", "version": "9"}, 404, "Nothing was decided."),
    ],
)
def test_a_form_that_is_wrong_is_shown_again(
    gatekeeper: Gatekeepers, form: dict[str, str], status: int, said: str
) -> None:
    name = gatekeeper.names["plain"][0]
    answer = post(gatekeeper, decide(name, "promote"), {"version": "1", **form})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert said in answer.text


def test_without_scripts_everything_is_decided_as_well(
    browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Judged
) -> None:
    name = name_of("plain")
    judged(gatekeeper, name, "fair")
    with browser.visiting(gatekeeper.url(), scripts=False) as page:
        page.goto(decide(name, "freeze"))
        page.fill("#reason", "no scripts")
        page.fill("#actor", "ada")
        with page.expect_navigation():
            page.click("form.decide button")
    assert gatekeeper.get(f"/models/{name}")["frozen_reason"] == "no scripts"


def test_what_people_write_is_text(browser: Browser, gatekeeper: Gatekeepers, name_of: NameOf, judged: Judged) -> None:
    name = name_of("plain")
    judged(gatekeeper, name, "fair")
    with browser.visiting(gatekeeper.url()) as page:
        page.goto(decide(name, "freeze"))
        fill_in(page, HOSTILE, HOSTILE)
        page.goto(decide(name, "freeze"))
        assert HOSTILE in page.inner_text("main"), "who froze it, and why"
        for shown in ("/", f"/console/models/{name}", "/console/stories"):
            page.goto(shown)
        page.goto(decide("<img src=x>", "freeze"))
        assert "<img src=x>" in page.inner_text("[role=alert]")
        page.goto(decide(name, "promote") + "?version=<b>1</b>")
        assert page.query_selector("main b") is None
        assert "ran" not in page.title()


def test_who_may_not_decide_sees_no_form(browser: Browser, secured: Secured, judged: Judged) -> None:
    service = secured.service
    name = service.names["plain"].pop()
    for kind in ("fair", "worse"):
        judged(service, name, kind)
    with browser.visiting(service.url(), token=secured.tokens["viewer"]) as page:
        page.goto(decide(name, "freeze"))
        assert "viewer may not operate here" in page.inner_text("[role=alert]")
        assert page.query_selector("form.decide") is None
    with browser.visiting(service.url(), token=secured.tokens["approver"]) as page:
        page.goto(decide(name, "promote") + "?version=2")
        assert "needs the role admin" in page.inner_text("main")
        assert page.query_selector("form.decide") is None
    cookie = f"gauntlet_token={secured.tokens['approver']}"
    service.client.headers.pop("Authorization")
    try:
        forced = post(service, decide(name, "promote"), {"reason": "x", "version": "2"}, Cookie=cookie)
    finally:
        service.client.headers.update(secured.headers("admin"))
    assert forced.status_code == 403 and "needs the role admin" in forced.text, forced.text


def test_two_people_approve_as_themselves(browser: Browser, secured: Secured, judged: Judged) -> None:
    service = secured.service
    name = service.names["by-two"].pop()
    judged(service, name, "fair")
    waits_for_people(service, name)
    with browser.visiting(service.url(), token=secured.tokens["approver"]) as page:
        page.goto(decide(name, "approve"))
        assert "1 more person must approve" in page.inner_text("main")
        assert page.query_selector("#actor") is None
        fill_in(page, "first", None)
    with browser.visiting(service.url(), token=secured.tokens["admin"]) as page:
        page.goto(decide(name, "approve"))
        assert "the last approval that is needed" in page.inner_text("main")
        fill_in(page, "second", None)
    eventually(lambda: service.champion(name) == 1)
    assert {row["actor"] for row in audited(service, name, "approved")} == {"approver", "admin"}
