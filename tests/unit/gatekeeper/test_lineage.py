"""What is known of a version: the event first, then the run's lineage tag, then what MLflow keeps of any run."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag

from chassis.errors import NotFound, Transient
from chassis.registry import RegisteredVersion
from contracts import ModelRegistered
from gatekeeper.evaluation.lineage import trace

DIGEST = "sha256:" + "a" * 64
TAG = ModelRegistered(
    model_name="m",
    model_version=7,
    code_version="from the tag",
    artifact_digest=DIGEST,
    training={"uri": "runs:/r/t", "digest": DIGEST},
    metrics={"roc_auc": 0.7},
)


class Fake:
    """An MLflow that knows one version and one run."""

    def __init__(self, *, run_id="r", tags=None, metrics=None, inputs=(), missing=False, away=False) -> None:
        self.found = RegisteredVersion("m", 2, run_id, "runs:/r/model", datetime.now(UTC), {})
        data = SimpleNamespace(tags=tags or {}, metrics=metrics or {})
        info = SimpleNamespace(status="FINISHED", lifecycle_stage="active")
        self.only_run = SimpleNamespace(info=info, data=data, inputs=SimpleNamespace(dataset_inputs=list(inputs)))
        self.missing, self.away = missing, away

    def version(self, name, version):
        if self.away:
            raise Transient("away")
        if self.missing:
            raise NotFound("no such version")
        return self.found

    def run(self, run_id):
        if run_id != "r":
            raise NotFound("no such run")
        return self.only_run


MINIMAL = ModelRegistered(model_name="m", model_version=2)


def test_name_and_version_are_completed_from_the_lineage_tag():
    found = trace(Fake(tags={"gauntlet.lineage": TAG.model_dump_json()}), MINIMAL)
    event = found.event
    assert (event.model_version, event.run_id, event.artifact_uri) == (2, "r", "runs:/r/model")
    assert (event.code_version, event.artifact_digest, event.metrics) == ("from the tag", DIGEST, {"roc_auc": 0.7})
    assert (found.run_found, found.training_digest) == (True, DIGEST)


def test_what_the_event_says_counts_before_the_tag_and_mlflow_before_both_for_the_place():
    told = ModelRegistered(
        model_name="m", model_version=2, code_version="from the event", artifact_uri="elsewhere", run_id="other"
    )
    event = trace(Fake(tags={"gauntlet.lineage": TAG.model_dump_json()}), told).event
    assert (event.code_version, event.artifact_uri, event.run_id) == ("from the event", "runs:/r/model", "r")


def test_a_run_that_is_not_ours_tells_commit_metrics_and_training_data():
    training = DatasetInput(Dataset("t", "d1g3st", "local", "{}"), [InputTag("mlflow.data.context", "training")])
    fake = Fake(
        tags={"mlflow.source.git.commit": "c0ffee"}, metrics={"auc": 0.6, "bad": float("nan")}, inputs=[training]
    )
    found = trace(fake, MINIMAL)
    assert (found.event.code_version, found.event.metrics) == ("c0ffee", {"auc": 0.6})
    assert found.training_digest == "mlflow:d1g3st"


@pytest.mark.parametrize("tag", ["no json", "[1]", '{"training": {"digest": "short"}}', '{"metrics": {"x": "y"}}'])
def test_a_lineage_tag_that_makes_no_sense_is_passed_over(tag):
    found = trace(Fake(tags={"gauntlet.lineage": tag}), MINIMAL)
    assert (found.event.run_id, found.training_digest) == ("r", None)


def test_what_is_not_there_is_said_and_nothing_is_made_up():
    assert trace(Fake(missing=True), MINIMAL).version is None
    assert trace(Fake(run_id="gone"), MINIMAL).run_found is False
    without = trace(Fake(run_id=None), MINIMAL)
    assert (without.event.run_id, without.run_found) == (None, False)


def test_an_mlflow_that_is_away_is_waited_for():
    with pytest.raises(Transient):
        trace(Fake(away=True), MINIMAL)
