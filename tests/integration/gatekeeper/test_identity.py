"""A gatekeeper with AUTH=tokens: who decides, who may not, and what each one sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from chassis.auth.roles import Role
from chassis.auth.tokens import create_token, revoke_token
from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import on_sqlite
from support.gatekeepers import Gatekeepers
from support.waiting import eventually

ROLES = """\
rules:
- {role: approver, subjects: [ann, bob]}
- {role: admin, subjects: [chief]}
- {role: viewer, subjects: [vera], models: ["shop*"]}
"""


class People:
    def __init__(self, gatekeepers: Gatekeepers, tokens: Mapping[str, str]) -> None:
        self._gatekeepers, self._tokens = gatekeepers, tokens

    def get(self, who: str, path: str, **options: Any) -> httpx.Response:
        return self._gatekeepers.client.get(f"{self._gatekeepers.url()}{path}", headers=self._as(who), **options)

    def post(self, who: str, path: str, body: Any) -> httpx.Response:
        return self._gatekeepers.post(path, body, headers=self._as(who))

    def _as(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._tokens[who]}"}


@on_sqlite
def test_who_decides_is_who_the_token_belongs_to(
    gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates
) -> None:
    file, roles = gatekeepers.folder / "tokens.yaml", gatekeepers.folder / "roles.yaml"
    tokens = {who: create_token(file, f"{who}-laptop", [Role.CLIENT], subject=who) for who in ("ann", "bob", "vera")}
    tokens["chief"] = create_token(file, "chief", [])
    roles.write_text(ROLES)
    shop, loans = (f"{name}-{uuid4().hex[:8]}" for name in ("shop", "loans"))
    for name in (shop, loans):
        gatekeepers.policy(name)
    gatekeepers.start_ready(AUTH="tokens", AUTH_TOKENS_FILE=str(file), AUTH_ROLES_FILE=str(roles))
    people = People(gatekeepers, tokens)
    for name, kind in ((shop, "fair"), (shop, "worse"), (loans, "fair")):
        own_bus.publish(candidates.version(name, kind, trigger={"kind": "manual", "by": "Ann"}))
    candidate = "/models/{}/candidates/{}"
    for name, version in ((shop, 1), (shop, 2), (loans, 1)):
        path = candidate.format(name, version)
        eventually(lambda path=path: people.get("chief", path).json().get("judged_at"), timeout=90)

    def promote(who: str, version: int) -> httpx.Response:
        return people.post(who, f"/models/{shop}/promote", {"model_version": version, "reason": "because"})

    by_bob = promote("bob", 2)
    assert by_bob.status_code == 403 and "bob needs the role admin" in by_bob.json()["detail"]
    overridden = promote("chief", 2).json()
    assert (overridden["cause"], overridden["actor"]) == ("override", "chief")
    own = promote("ann", 1)
    assert own.status_code == 409 and f"ann cannot promote {shop} v1" in own.json()["detail"]
    approved = promote("bob", 1).json()
    assert (approved["cause"], approved["actor"], approved["epoch"]) == ("approval", "bob", 3)
    back = people.post("bob", f"/models/{shop}/rollback", {"reason": "because"})
    assert back.status_code == 403, "an approver is no operator"
    frozen = people.post("chief", f"/models/{shop}/freeze", {"reason": "because"}).json()
    assert frozen["actor"] == "chief"

    trail = [(row["action"], row["actor"]) for row in people.get("chief", f"/audit?model={shop}").json()]
    decided = [each for each in trail if each[1] != "gatekeeper"]
    assert decided == [
        ("frozen", "chief"),
        ("promoted", "bob"),
        ("promotion not allowed", "ann"),
        ("promoted", "chief"),
        ("promotion not allowed", "bob"),
    ]
    assert people.get("chief", "/audit/verify").json()["broken"] is None

    assert {model["model_name"] for model in people.get("chief", "/models").json()} >= {shop, loans}
    assert [model["model_name"] for model in people.get("vera", "/models").json()] == [shop]
    assert {row["model_name"] for row in people.get("chief", "/audit").json()} >= {shop, loans}
    assert {row["model_name"] for row in people.get("vera", "/audit").json()} == {shop}
    own_id, other_id = (people.get("chief", candidate.format(name, 1)).json()["id"] for name in (shop, loans))
    assert people.get("vera", f"/candidates/{own_id}").status_code == 200
    other, none = people.get("vera", f"/candidates/{other_id}"), people.get("vera", "/candidates/none")
    assert other.status_code == none.status_code == 404
    assert other.text.replace(other_id, "none") == none.text

    revoke_token(file, "bob-laptop")
    eventually(lambda: people.get("bob", "/whoami").status_code == 401)
    assert people.get("ann", "/whoami").json()["subject"] == "ann"
    roles.write_text(ROLES.replace("[ann, bob]", "[bob]"))
    eventually(lambda: people.get("ann", "/models").status_code == 403)
