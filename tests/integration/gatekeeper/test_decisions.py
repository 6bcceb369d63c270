"""People's decisions over HTTP: what they do, what they are refused, and every bad input."""

from __future__ import annotations

import pytest

from contracts import ModelLoaded, ModelLoadFailed, OutputFormat, Promoted
from support.bus_client import BusClient
from support.candidates import Candidates
from support.gatekeepers import Gatekeepers
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "because"}
READ_AS = OutputFormat(problem="binary", classes=(0, 1), label="late", entity="who", event_time="at")


def promotions(bus: BusClient, model_name: str) -> list[Promoted]:
    return [item.data for item in bus.events("promoted") if item.model_name == model_name]


@pytest.fixture
def three_versions(gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates) -> str:
    """v1 and v2 were promoted by the gates, v3 was refused."""
    for number, kind in enumerate(("fair", "good", "worse"), start=1):
        bus.publish(candidates.version(model_name, kind))
        gatekeeper.judged(model_name, number)
    assert gatekeeper.champion(model_name) == 2
    return model_name


def test_back_and_forward_again_with_a_new_epoch_each(
    gatekeeper: Gatekeepers, three_versions: str, bus: BusClient, candidates: Candidates
) -> None:
    name = three_versions
    back = gatekeeper.post(f"/models/{name}/rollback", WHO).json()
    assert (back["model_version"], back["epoch"], back["previous_version"]) == (1, 3, 2)
    assert (back["cause"], back["actor"], back["reason"]) == ("rollback", "ada", "because")
    forward = gatekeeper.post(f"/models/{name}/rollback", WHO).json()
    assert (forward["model_version"], forward["epoch"]) == (2, 4)
    far = gatekeeper.post(f"/models/{name}/rollback", {**WHO, "to": 1}).json()
    assert (far["model_version"], far["epoch"]) == (1, 5)
    eventually(lambda: [item.epoch for item in promotions(bus, name)] == [1, 2, 3, 4, 5])
    first, again = promotions(bus, name)[0], promotions(bus, name)[-1]
    assert (again.artifact_uri, again.artifact_digest) == (first.artifact_uri, first.artifact_digest)
    assert (again.baseline, again.reference, again.metric) == (first.baseline, first.reference, first.metric)
    assert {item.output for item in promotions(bus, name)} == {READ_AS}, "a rollback says again what was said then"
    explained = {(item.model_version, item.golden_predictions, str(item.importance)) for item in promotions(bus, name)}
    assert len(explained) == len({item.model_version for item in promotions(bus, name)}), "and what drift needs"
    assert all(item.golden_predictions and item.importance for item in promotions(bus, name))
    assert [item.data.output for item in bus.events("gate-passed") if item.model_name == name] == [READ_AS, READ_AS]
    eventually(lambda: candidates.aliases(name).get("champion") == 1)
    listed = gatekeeper.get(f"/models/{name}/promotions")
    assert [item["epoch"] for item in listed] == [5, 4, 3, 2, 1]
    rolled_back = [row for row in gatekeeper.get(f"/audit?model={name}") if row["action"] == "rolled back"]
    assert {(row["actor"], row["reason"]) for row in rolled_back} == {("ada", "because")}


def test_a_refused_version_is_promoted_as_an_override(
    gatekeeper: Gatekeepers, three_versions: str, bus: BusClient
) -> None:
    name = three_versions
    answer = gatekeeper.post(f"/models/{name}/promote", {**WHO, "model_version": 3})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["cause"], answer.json()["epoch"]) == ("override", 3)
    again = gatekeeper.post(f"/models/{name}/promote", {**WHO, "model_version": 3})
    assert again.status_code == 409 and "champion already" in again.json()["detail"]
    back = gatekeeper.post(f"/models/{name}/promote", {**WHO, "model_version": 2}).json()
    assert (back["cause"], back["epoch"], back["previous_version"]) == ("approval", 4, 3)
    eventually(lambda: [item.cause for item in promotions(bus, name)] == ["gate", "gate", "override", "approval"])
    assert {item.output for item in promotions(bus, name)} == {READ_AS}


def test_while_frozen_gates_pass_and_only_rollback_changes_the_champion(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    bus.publish(candidates.version(model_name, "fair"))
    gatekeeper.judged(model_name, 1)
    assert gatekeeper.post(f"/models/{model_name}/freeze", WHO).json()["frozen"] is True
    twice = gatekeeper.post(f"/models/{model_name}/freeze", WHO)
    assert twice.status_code == 409 and "by ada: because" in twice.json()["detail"]
    bus.publish(candidates.version(model_name, "good"))
    assert gatekeeper.judged(model_name, 2)["state"] == "passed"
    model = gatekeeper.get(f"/models/{model_name}")
    assert (model["frozen"], model["frozen_by"], model["champion"]["model_version"]) == (True, "ada", 1)
    assert model["challenger"]["model_version"] == 2
    eventually(lambda: candidates.aliases(model_name) == {"champion": 1, "challenger": 2})
    refused = gatekeeper.post(f"/models/{model_name}/promote", {**WHO, "model_version": 2})
    assert refused.status_code == 409 and "frozen" in refused.json()["detail"]
    none_before = gatekeeper.post(f"/models/{model_name}/rollback", WHO)
    assert none_before.status_code == 409 and "first champion" in none_before.json()["detail"]
    assert gatekeeper.post(f"/models/{model_name}/unfreeze", WHO).json()["frozen"] is False
    assert gatekeeper.post(f"/models/{model_name}/unfreeze", WHO).status_code == 409
    promoted = gatekeeper.post(f"/models/{model_name}/promote", {**WHO, "model_version": 2}).json()
    assert (promoted["cause"], promoted["epoch"]) == ("approval", 2)
    gatekeeper.post(f"/models/{model_name}/freeze", WHO)
    assert gatekeeper.post(f"/models/{model_name}/rollback", WHO).json()["model_version"] == 1
    eventually(lambda: candidates.aliases(model_name) == {"champion": 1})
    actions = [row["action"] for row in gatekeeper.get(f"/audit?model={model_name}&limit=3")]
    assert actions == ["rolled back", "frozen", "promoted"]


@pytest.mark.parametrize("decision", ["promote", "rollback", "freeze", "unfreeze"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "r"}, "actor"),
        ({"actor": "a"}, "reason"),
        ({"actor": "a", "reason": "  "}, "reason"),
        ({"actor": "", "reason": "r"}, "actor"),
        ({"actor": "a", "reason": "x" * 1001}, "reason"),
        ({"actor": "a\x00b", "reason": "r"}, "actor"),
        ({"actor": 7, "reason": "r"}, "actor"),
        ({"actor": "a", "reason": "r", "verison": 2}, "verison"),
        ([], "body"),
        (None, "body"),
    ],
)
def test_a_decision_without_its_parts_is_422_and_names_the_field(
    gatekeeper: Gatekeepers, decision: str, body, field: str
) -> None:
    name = gatekeeper.names["plain"][0]
    if isinstance(body, dict) and decision == "promote":
        body = {"model_version": 1, **body}
    answer = gatekeeper.post(f"/models/{name}/{decision}", body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(field in item["field"] for item in answer.json()["errors"])


@pytest.mark.parametrize("version", [0, -1, "2", 1.5, True, None, 2**31, 10**30])
@pytest.mark.parametrize(("decision", "field"), [("promote", "model_version"), ("rollback", "to")])
def test_a_version_that_is_none_is_422_and_shown(gatekeeper: Gatekeepers, decision: str, field: str, version) -> None:
    answer = gatekeeper.post(f"/models/{gatekeeper.names['plain'][0]}/{decision}", {**WHO, field: version})
    if decision == "rollback" and version is None:
        assert answer.status_code == 409  # it may be left out; this model has no champion
        return
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert field in error["field"] and str(version) in error["value"]


@pytest.mark.parametrize("decision", ["promote", "rollback", "freeze", "unfreeze"])
def test_an_unknown_model_is_404_and_named(gatekeeper: Gatekeepers, decision: str) -> None:
    body = {**WHO, "model_version": 1} if decision == "promote" else WHO
    answer = gatekeeper.post(f"/models/nosuch/{decision}", body)
    assert answer.status_code == 404 and "'nosuch'" in answer.json()["detail"]


def test_versions_that_cannot_be_promoted_say_why(
    gatekeeper: Gatekeepers, model_name: str, candidates: Candidates, bus: BusClient
) -> None:
    bus.publish(candidates.version(model_name, "fair"))
    gatekeeper.judged(model_name, 1)
    missing = gatekeeper.post(f"/models/{model_name}/promote", {**WHO, "model_version": 7})
    assert missing.status_code == 404 and "7" in missing.json()["detail"] and model_name in missing.json()["detail"]
    never = gatekeeper.post(f"/models/{model_name}/rollback", {**WHO, "to": 9})
    assert never.status_code == 409 and "v9 was never champion" in never.json()["detail"]
    same = gatekeeper.post(f"/models/{model_name}/rollback", {**WHO, "to": 1})
    assert same.status_code == 409 and "champion already" in same.json()["detail"]
    candidates.version(model_name, "fair")  # in MLflow, and too young for the reconciler
    ungated = gatekeeper.post(f"/models/{model_name}/promote", {**WHO, "model_version": 2})
    assert ungated.status_code == 409 and "never gated" in ungated.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/models/nosuch", 404, "'nosuch'"),
        ("/models/nosuch/candidates", 404, "'nosuch'"),
        ("/models/nosuch/candidates/1", 404, "'nosuch'"),
        ("/models/nosuch/promotions", 404, "'nosuch'"),
        ("/models/%00/candidates", 404, "unknown"),
        ("/models/NAME/candidates/1", 404, "NAME v1"),
        ("/models/NAME/candidates/x", 422, "model_version"),
        ("/models/NAME/candidates/0", 422, "model_version"),
        ("/models/NAME/candidates/99999999999999999999", 422, "model_version"),
        ("/models/NAME/candidates?limit=0", 422, "limit"),
        ("/candidates/nosuch-v1", 404, "nosuch-v1"),
        ("/candidates/a%00b", 404, "not a candidate"),
        ("/audit?model=nosuch", 404, "'nosuch'"),
        ("/audit?limit=x", 422, "limit"),
        ("/audit?limit=100000", 422, "limit"),
        ("/nothing/here", 404, "/nothing/here"),
    ],
)
def test_a_bad_question_is_4xx_and_says_what_is_wrong(
    gatekeeper: Gatekeepers, path: str, status: int, says: str
) -> None:

    name = gatekeeper.names["plain"][0]
    answer = gatekeeper.client.get(gatekeeper.url() + path.replace("NAME", name), timeout=30)
    assert answer.status_code == status, answer.text
    assert says.replace("NAME", name) in answer.json()["detail"]


def test_what_replicas_say_shows_who_lags(gatekeeper: Gatekeepers, three_versions: str, bus: BusClient) -> None:
    name = three_versions
    common = {"model_name": name, "role": "production", "seconds": 0.1}
    for replica, version, epoch in (("r1", 2, 2), ("r2", 1, 1)):
        bus.publish(
            ModelLoaded(replica=replica, model_version=version, epoch=epoch, artifact_digest="sha256:0", **common)
        )
    bus.publish(ModelLoadFailed(replica="r2", model_version=2, epoch=2, reason="no space left", **common))

    def replicas():
        found = {item["replica"]: item for item in gatekeeper.get(f"/models/{name}")["replicas"]}
        return found if len(found) == 2 and found["r2"]["failure"] else None

    found = eventually(replicas)
    assert (found["r1"]["model_version"], found["r1"]["lagging"]) == (2, False)
    assert (found["r2"]["model_version"], found["r2"]["lagging"]) == (1, True)
    assert (found["r2"]["failed_version"], found["r2"]["failure"]) == (2, "no space left")


def test_metrics_count_verdicts_and_promotions(gatekeeper: Gatekeepers, three_versions: str) -> None:
    text = gatekeeper.client.get(f"{gatekeeper.url()}/metrics", timeout=30).text
    for line in (
        'gauntlet_verdicts_total{outcome="Passed"}',
        'gauntlet_gate_verdicts_total{gate="performance",outcome="Failed"}',
        'gauntlet_promotions_total{cause="gate"}',
        'gauntlet_gate_seconds_count{step="candidate"}',
    ):
        assert line in text
