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

    def __init__(
        self, *, run_id="r", tags=None, metrics=None, inputs=(), stage="active", missing=False, away=False
    ) -> None:
        self.found = RegisteredVersion("m", 2, run_id, "runs:/r/model", datetime.now(UTC), {})
        data = SimpleNamespace(tags=tags or {}, metrics=metrics or {})
        info = SimpleNamespace(run_id="r", status="FINISHED", lifecycle_stage=stage)
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

    def artifacts(self, run_id, folder=None):
        return set()


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


COMMIT = "0123456789abcdef0123456789abcdef01234567"
BY_MLFLOW = {"mlflow.source.name": "train.py", "mlflow.source.git.commit": COMMIT}
"""What MLflow records of a script in a Git repository, when its run starts."""


@pytest.mark.parametrize(
    ("tags", "told", "version", "claimed"),
    [
        (BY_MLFLOW, {}, COMMIT, False),
        (BY_MLFLOW, {"code_version": COMMIT}, COMMIT, False),
        (BY_MLFLOW, {"code_version": "v7"}, "v7", True),  # the event says another one
        ({**BY_MLFLOW, "mlflow.source.git.dirty": "true"}, {}, f"{COMMIT}-dirty", False),
        ({**BY_MLFLOW, "mlflow.source.git.commit": "my notebook, first try"}, {}, "my notebook, first try", True),
        ({"mlflow.source.git.commit": COMMIT}, {}, COMMIT, True),  # set by hand on a run of MlflowClient
        ({"mlflow.source.name": "train.py"}, {}, None, False),
        ({"mlflow.source.name": "train.py"}, {"code_version": COMMIT}, COMMIT, True),
        ({"gauntlet.lineage": TAG.model_dump_json()}, {}, "from the tag", False),  # the trainer's own
        (
            {
                "mlflow.source.name": "/n",
                "mlflow.databricks.notebookID": "9",
                "mlflow.databricks.notebookRevisionID": "42",
            },
            {},
            "notebook 9, revision 42",
            False,
        ),
        ({"mlflow.source.name": "x", "mlflow.databricks.gitRepoCommit": COMMIT}, {}, COMMIT, False),
    ],
)
def test_a_version_of_the_code_is_recorded_or_claimed(tags, told, version, claimed):
    found = trace(Fake(tags=tags), MINIMAL.model_copy(update=told))
    assert (found.event.code_version, found.origin.code_claimed) == (version, claimed)


@pytest.mark.parametrize(
    ("tags", "source"),
    [
        ({}, None),
        (BY_MLFLOW, "train.py"),
        ({"mlflow.source.name": "ipykernel_launcher.py"}, "ipykernel_launcher.py"),
        ({"mlflow.source.name": "x", "mlflow.databricks.notebookPath": "/Users/ada/late"}, "/Users/ada/late"),
    ],
)
def test_the_script_or_notebook_is_named(tags, source):
    assert trace(Fake(tags=tags), MINIMAL).origin.source == source


@pytest.mark.parametrize(
    ("contexts", "digest"),
    [
        (["training"], "mlflow:d0"),
        (["train"], "mlflow:d0"),  # autologging
        (["eval", "training", "train"], "mlflow:d1+d2"),
        (["evaluation"], None),
        ([], None),
    ],
)
def test_training_data_is_known_as_mlflow_records_it(contexts, digest):
    inputs = [
        DatasetInput(Dataset("t", f"d{number}", "local", "{}"), [InputTag("mlflow.data.context", context)])
        for number, context in enumerate(contexts)
    ]
    assert trace(Fake(inputs=inputs), MINIMAL).training_digest == digest


def test_a_deleted_run_is_not_known():
    found = trace(Fake(tags=BY_MLFLOW, stage="deleted"), MINIMAL)
    assert (found.run_found, found.origin.run_deleted, found.event.code_version) == (False, True, COMMIT)


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
