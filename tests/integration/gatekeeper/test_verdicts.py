"""From ModelRegistered to a verdict and a promotion: real Kafka, MLflow, both databases, candidates good and bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.sklearn
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from chassis.digests import digest_file, digest_tree
from chassis.parquet import read_frame
from chassis.registry import Registry
from contracts import Dataset, GateFailed, GatePassed, ModelRegistered, Outcome, Promoted, Trigger
from contracts.policy import ModelPolicy
from forms import loads
from forms.artifact import read
from gatekeeper.evaluation.gate_runner import asked_for
from support.bus_client import BusClient
from support.candidates import FEATURES, Candidates, rows
from support.gatekeepers import Gatekeepers
from support.mlflow_server import MlflowServer
from support.waiting import eventually

BY_DEFAULT = [gate.name for gate in asked_for(ModelPolicy(model="m"))]


def of(bus: BusClient, event, model_name: str):
    """The events of one type about one model."""
    return [item for item in bus.events(event.topic) if item.model_name == model_name and isinstance(item.data, event)]


def verdict(candidate, gate: str):
    (found,) = [item for item in candidate["verdicts"] if item["gate"] == gate]
    return found


def champion_of(gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates, name: str, kind: str = "fair") -> None:
    """v1 is champion."""
    bus.publish(candidates.version(name, kind))
    assert gatekeeper.judged(name, 1)["state"] == "passed"


def test_the_first_version_that_passes_is_promoted_with_all_that_followers_need(
    gatekeeper: Gatekeepers,
    timed_model: str,
    bus: BusClient,
    candidates: Candidates,
    mlflow_server: MlflowServer,
    tmp_path: Path,
) -> None:
    registered = candidates.version(timed_model, "good")
    told = bus.publish(registered)
    candidate = gatekeeper.judged(timed_model, 1)
    assert (candidate["state"], candidate["artifact_digest"]) == ("passed", registered.artifact_digest)
    assert [item["gate"] for item in candidate["verdicts"]] == BY_DEFAULT
    assert {item["outcome"] for item in candidate["verdicts"]} == {"Passed"}
    assert verdict(candidate, "performance")["n"] == 1500
    (passed,) = eventually(lambda: of(bus, GatePassed, timed_model))
    (promoted,) = eventually(lambda: of(bus, Promoted, timed_model))
    assert (passed.causation_id, promoted.causation_id) == (told.id, passed.id)
    assert {passed.correlation_id, promoted.correlation_id} == {told.correlation_id}
    event = promoted.data
    assert (event.epoch, event.model_version, event.previous_version, event.cause) == (1, 1, None, "gate")
    assert (event.actor, event.evidence_id, event.metric) == ("gatekeeper", candidate["id"], "roc_auc")
    assert (event.artifact_digest, event.reference) == (registered.artifact_digest, registered.reference)
    assert event.baseline == candidate["metrics"] and 0.8 < event.baseline["roc_auc"] < 1
    assert event.artifact_uri == registered.artifact_uri
    eventually(lambda: candidates.aliases(timed_model) == {"champion": 1})
    eventually(lambda: candidates.tags(timed_model, 1).get("gauntlet.epoch") == "1")
    form = candidate["evidence"]["measured"]["serving_form"]
    assert (form["name"], form["parity"]["labels_differ"]) == ("linear", 0) and form["parity"]["rows"] > 1500
    tags = candidates.tags(timed_model, 1)
    assert (tags["gauntlet.verdict"], tags["gauntlet.serving_form"]) == ("passed", "linear")
    beside = event.serving_artifact
    assert beside is not None and beside == passed.data.serving_artifact
    folder = Registry(mlflow_server.uri).download(beside.uri, tmp_path)
    assert digest_tree(folder) == beside.digest
    made = read(folder)
    assert made.form is not None and loads(made.form).about()["parity"] == form["parity"]
    assert made.recorded is not None and len(made.recorded.rows) == 32
    _explains_itself(event, candidate, Registry(mlflow_server.uri).download, tmp_path)
    trail = gatekeeper.get(f"/audit?model={timed_model}")
    assert [row["action"] for row in reversed(trail)] == ["registered", "judged", "promoted"]
    assert {row["correlation_id"] for row in trail} == {told.correlation_id}
    assert trail[0]["evidence"]["evidence_id"] == candidate["id"]


def _explains_itself(
    event: Promoted, candidate: dict[str, Any], download: Callable[[str, Path], Path], folder: Path
) -> None:
    """Its promotion says which columns matter, and names its golden predictions."""
    kept = candidate["evidence"]["measured"]["importance"]
    assert event.importance == kept["worse"] and max(event.importance.values()) > 0.1 and kept["problem"] is None
    golden = event.golden_predictions
    assert golden is not None and golden.rows == 1500
    file = download(golden.uri, folder)
    assert digest_file(file) == golden.digest
    rows = read_frame(file)
    assert set(event.importance) < set(rows.columns)
    found = roc_auc_score(rows["gauntlet.label"], rows["gauntlet.score"])
    assert found == pytest.approx(event.baseline["roc_auc"], abs=1e-12)


def test_a_better_challenger_replaces_the_champion_and_a_worse_one_does_not(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    champion_of(gatekeeper, bus, candidates, model_name)
    bus.publish(candidates.version(model_name, "good"))
    better = verdict(gatekeeper.judged(model_name, 2), "performance")
    assert better["observed"] > better["bound"] and better["details"]["champion_version"] == 1
    bus.publish(candidates.version(model_name, "worse"))
    worse = gatekeeper.judged(model_name, 3)
    assert (worse["state"], worse["champion_version"]) == ("failed", 2)
    assert "champion v2" in worse["reason"] and "worse" in worse["reason"]
    assert verdict(worse, "functional")["outcome"] == "Passed"
    eventually(lambda: len(of(bus, Promoted, model_name)) == 2)
    assert [item.data.epoch for item in of(bus, Promoted, model_name)] == [1, 2]
    assert of(bus, Promoted, model_name)[1].data.previous_version == 1
    (failed,) = eventually(lambda: of(bus, GateFailed, model_name))
    assert (failed.data.model_version, failed.data.outcome) == (3, Outcome.FAILED)
    eventually(lambda: candidates.aliases(model_name) == {"champion": 2})
    assert gatekeeper.champion(model_name) == 2


def test_datasets_outside_the_registry_are_not_opened_and_the_verdict_says_which_setting_would_allow_them(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    """The files are there, and have these digests; the artifact's own address is always MLflow's."""
    rows(seed=2).to_parquet(tmp_path / "golden.parquet")
    file = Dataset(uri=str(tmp_path / "golden.parquet"), digest=digest_file(tmp_path / "golden.parquet"), rows=1500)
    link = file.model_copy(update={"uri": "http://127.0.0.1:9/rows.parquet"})
    changes = {"evaluation": file, "training": link, "training_keys": link, "artifact_uri": "file:///etc"}
    registered = candidates.version(model_name, "good", **changes)
    bus.publish(registered)
    candidate = gatekeeper.judged(model_name, 1)
    assert candidate["state"] == "failed" and candidate["artifact_uri"] == candidates.kind("good").uri
    for gate in ("lineage", "performance"):
        reason = verdict(candidate, gate)["reason"]
        assert f"the evaluation dataset {file.uri} is not read: {file.uri!r} is refused: it is a file" in reason, reason
        assert "ALLOWED_URI_PREFIXES" in reason
    assert of(bus, Promoted, model_name) == []
    keyed = {"training": link, "training_keys": link}
    bus.publish(candidates.version(model_name, "good", **keyed))
    reason = verdict(gatekeeper.judged(model_name, 2), "leakage")["reason"]
    assert reason.count(f"{link.uri!r} is refused: it is a http: address outside the registry") == 2, reason


@pytest.mark.parametrize(
    ("kind", "says"),
    [("raising", "KeyError: 'carrier'"), ("dying", "exited with code 1"), ("nan", "NaN"), ("random", "second time")],
)
def test_a_broken_candidate_is_refused_and_the_gatekeeper_is_unharmed(
    gatekeeper: Gatekeepers, timed_model: str, bus: BusClient, candidates: Candidates, kind: str, says: str
) -> None:
    pid = gatekeeper.get("/health")["pid"]
    bus.publish(candidates.version(timed_model, kind))
    candidate = gatekeeper.judged(timed_model, 1)
    assert candidate["state"] == "failed"
    functional = verdict(candidate, "functional")
    assert functional["outcome"] == "Failed" and says in functional["reason"]
    assert len(candidate["verdicts"]) == len(BY_DEFAULT)  # the later ones say why they could not be measured
    assert gatekeeper.get("/health")["pid"] == pid
    assert of(bus, Promoted, timed_model) == []


def test_one_verdict_however_often_it_is_told(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    registered = candidates.version(model_name, "fair")
    told = bus.publish(registered, times=3)
    for number in range(3):
        bus.publish(registered, event_id=f"{model_name}-again-{number}")
    gatekeeper.judged(model_name, 1)
    bus.send(told)
    bus.publish(registered.model_copy(update={"metrics": {"roc_auc": 1.0}}))
    bus.publish(candidates.version(model_name, "good"))  # handled after all of them: same partition
    gatekeeper.judged(model_name, 2)
    eventually(lambda: len(of(bus, Promoted, model_name)) == 2)
    assert [item.data.model_version for item in of(bus, GatePassed, model_name)] == [1, 2]
    assert [item.data.epoch for item in of(bus, Promoted, model_name)] == [1, 2]
    actions = [row["action"] for row in gatekeeper.get(f"/audit?model={model_name}")]
    assert sorted(actions) == ["judged", "judged", "promoted", "promoted", "registered", "registered"]


def test_name_and_version_are_enough_and_the_rest_comes_from_mlflow(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    registered = candidates.version(model_name, "good")
    value = json.dumps({"model_name": model_name, "model_version": 1}).encode()
    bus.raw(ModelRegistered.topic, model_name.encode(), value)
    candidate = gatekeeper.judged(model_name, 1)
    assert candidate["state"] == "passed"
    assert (candidate["run_id"], candidate["code_version"]) == (registered.run_id, "abc123")
    assert candidate["datasets"]["training"]["digest"] == registered.training.digest


def test_a_version_without_an_event_is_found(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    candidates.version(model_name, "good")

    def found() -> bool:
        return gatekeeper.get(f"/models/{model_name}/candidates") != []

    eventually(found)
    candidate = gatekeeper.judged(model_name, 1)
    assert (candidate["state"], candidate["trigger"]["kind"]) == ("passed", "reconciler")
    eventually(lambda: of(bus, Promoted, model_name))


def test_an_alias_moved_by_hand_is_put_back_and_audited_once(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    champion_of(gatekeeper, bus, candidates, model_name)
    bus.publish(candidates.version(model_name, "worse"))
    gatekeeper.judged(model_name, 2)
    eventually(lambda: candidates.aliases(model_name) == {"champion": 1})
    candidates.client.set_registered_model_alias(model_name, "champion", "2")
    candidates.client.set_registered_model_alias(model_name, "challenger", "2")
    eventually(lambda: candidates.aliases(model_name) == {"champion": 1})

    def audited():
        trail = gatekeeper.get(f"/audit?model={model_name}")
        return [row for row in trail if row["action"] == "aliases put back"]

    (row,) = eventually(audited)
    assert row["evidence"]["put back"] == {"champion": 1, "challenger": None}
    assert gatekeeper.champion(model_name) == 1


@pytest.mark.parametrize(
    ("change", "state", "gate", "says"),
    [
        ({"artifact_digest": "sha256:" + "0" * 64}, "failed", "lineage", "but sha256:000"),
        ({"code_version": None, "run_id": "gone"}, "passed", "lineage", "known"),  # the run knows
        (
            {"evaluation": {"uri": "runs:/gone/x.parquet", "digest": "sha256:" + "1" * 64}},
            "failed",
            "lineage",
            "not there",
        ),
        ({"model_version": 99}, "failed", "lineage", "not in MLflow"),
    ],
)
def test_an_event_that_mlflow_does_not_bear_out(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates, change, state, gate, says
) -> None:
    registered = candidates.version(model_name, "good", **change)
    bus.publish(registered)
    candidate = eventually(lambda: gatekeeper.judged(model_name, registered.model_version))
    assert candidate["state"] == state
    assert says in verdict(candidate, gate)["reason"]


def test_the_lineage_of_a_plain_log_model_passes_and_a_deleted_run_does_not(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates, mlflow_server: MlflowServer
) -> None:
    """With the fluent API, in this repository, as a user's script would."""
    mlflow.set_tracking_uri(mlflow_server.uri)
    train = rows(seed=1)
    estimator = LogisticRegression().fit(train[FEATURES], train["late"])
    with mlflow.start_run() as run:
        logged = mlflow.sklearn.log_model(
            estimator,
            name="model",
            input_example=train[FEATURES].head(3),
            pyfunc_predict_fn="predict_proba",
            serialization_format="cloudpickle",
            registered_model_name=model_name,
        )
    version = int(logged.registered_model_version)
    golden = candidates.kind("good").lineage["evaluation"]
    event = ModelRegistered(model_name=model_name, model_version=version, evaluation=golden)
    bus.publish(event)
    first = verdict(gatekeeper.judged(model_name, version), "lineage")
    assert first["outcome"] == "Passed" and "not required: the digest of the training data" in first["reason"]
    assert first["details"]["missing"] == ["data"] or first["details"]["missing"] == ["code", "data"]
    assert first["details"]["source"] and first["details"]["code_claimed"] is False
    candidates.client.delete_run(run.info.run_id)
    bus.publish(event.model_copy(update={"trigger": Trigger(kind="again", reason="its run was deleted")}))

    def again() -> bool:
        found = gatekeeper.candidate(model_name, version)
        return found["judgement"] == 2 and bool(found["judged_at"])

    eventually(again, timeout=60)
    second = verdict(gatekeeper.candidate(model_name, version), "lineage")
    assert second["outcome"] == "Failed" and f"run {run.info.run_id} is deleted in MLflow" in second["reason"]


def test_a_version_that_mlflow_cannot_have_is_a_dead_letter(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient
) -> None:
    value = json.dumps({"model_name": model_name, "model_version": 2**40}).encode()
    bus.raw(ModelRegistered.topic, model_name.encode(), value)
    eventually(lambda: any(letter.value == value for letter in bus.dead_letters().values()))


def test_versions_that_do_not_exist_do_not_hold_up_one_that_does(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    """A publisher that counts wrongly, or a registry that was restored: versions that MLflow does not have."""
    champion_of(gatekeeper, bus, candidates, model_name)
    real = candidates.version(model_name, "good")
    for version in range(1001, 1061):
        bus.publish(ModelRegistered(model_name=model_name, model_version=version))
    bus.publish(real)
    eventually(lambda: gatekeeper.candidate(model_name, 2), timeout=90)
    assert gatekeeper.judged(model_name, 2, timeout=20)["state"] in ("passed", "failed")
    last = gatekeeper.judged(model_name, 1060, timeout=60)
    assert last["state"] == "failed" and "version" in verdict(last, "lineage")["reason"]

    def states() -> set[str]:
        return {each["state"] for each in gatekeeper.get(f"/models/{model_name}/candidates?limit=1000")}

    eventually(lambda: not states() & {"registered", "gating"}, timeout=60)
