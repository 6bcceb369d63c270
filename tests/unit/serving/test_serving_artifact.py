"""What the gate made of a version: the form is opened instead of compiled, the model held against its answers there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.models import infer_signature

from chassis.digests import digest_tree
from chassis.errors import Permanent
from contracts import OutputFormat
from forms.artifact import RecordedPredictions, ServingArtifact
from serving.inference.mlflow_model import load
from serving.inference.model import LoadedModel
from serving.loading.serving_artifact import warm_up
from serving.policy.versions import Artifact
from support.loaders import Bench, run_bench, until
from support.versions import FEATURES, pipeline, save, serving_artifact

Ready = Callable[..., tuple[LoadedModel, ServingArtifact]]


@pytest.fixture
def ready(tmp_path: Path) -> Ready:
    def make(estimator: Any = None) -> tuple[LoadedModel, ServingArtifact]:
        save(estimator or pipeline(), tmp_path / "model")
        given = serving_artifact(tmp_path / "model", FEATURES)
        return load(Artifact("flights", 1, "none"), tmp_path / "model"), given

    return make


def recorded(given: ServingArtifact, **changes: Any) -> ServingArtifact:
    assert given.recorded is not None
    return dataclasses.replace(given, recorded=dataclasses.replace(given.recorded, **changes))


def test_the_form_of_the_gate_answers_and_says_what_was_proven_there(ready: Ready) -> None:
    model, given = ready()
    served = warm_up(model, given, 1e-6)
    assert served is not None and served.name == "linear" and model.form is served.form
    assert served.about()["parity"]["rows"] > 100
    rows = FEATURES.to_dict("records")
    expected = pipeline().predict_proba(FEATURES)[:, 1]
    assert np.allclose(model.predict(model.reader.read(rows, 9)).scores, expected, atol=1e-12)


def test_a_model_that_answers_otherwise_than_at_the_gate_is_not_served_and_the_row_is_named(ready: Ready) -> None:
    model, given = ready()
    assert given.recorded is not None
    answers = list(given.recorded.answers)
    answers[2] += 0.01
    with pytest.raises(Permanent, match=r"golden row 2 is \S+ here and was 0\.\d+ at the gate"):
        warm_up(model, recorded(given, answers=answers), 1e-6)
    assert model.form is None


@pytest.mark.parametrize(
    ("output", "answers"),
    [
        (OutputFormat(problem="binary"), 0.3),
        (OutputFormat(problem="binary", classes=("on time", "late")), 0.3),
        (OutputFormat(problem="multiclass"), [0.6, 0.4]),
        (OutputFormat(problem="multiclass", classes=("on time", "late")), [0.6, 0.4]),
    ],
)
def test_answers_of_a_classifier_are_compared_whether_or_not_it_names_its_classes(
    ready: Ready, tmp_path: Path, output: OutputFormat, answers: Any
) -> None:
    _, given = ready()
    save(pipeline(), tmp_path / "anonymous", roles=None)
    model = load(Artifact("flights", 1, "none", output), tmp_path / "anonymous")
    with pytest.raises(Permanent, match=r"golden row 0 is .* here and was .* at the gate"):
        warm_up(model, dataclasses.replace(recorded(given, answers=[answers] * len(FEATURES)), form=None), None)
    other = [[0.2, 0.3, 0.5]] * len(FEATURES)
    with pytest.raises(Permanent, match=r"of shape \(4,.*\) here, and were of shape \(4, 3\) at the gate"):
        warm_up(model, dataclasses.replace(recorded(given, answers=other), form=None), None)


@pytest.mark.parametrize(
    ("spoil", "tolerance"),
    [
        (lambda given: dataclasses.replace(given, form=b"{}\nnothing"), 1e-6),
        (lambda given: dataclasses.replace(given, form=b""), 1e-6),
        (lambda given: dataclasses.replace(given, form=given.form[:-20]), 1e-6),
        (lambda given: dataclasses.replace(given, form=None), 1e-6),
        (lambda given: given, None),
    ],
    ids=["of other libraries", "empty", "torn", "none", "switched off"],
)
def test_a_form_that_cannot_be_used_costs_the_model_nothing_else(
    ready: Ready, spoil: Callable[[ServingArtifact], ServingArtifact], tolerance: float | None
) -> None:
    model, given = ready()
    assert warm_up(model, spoil(given), tolerance) is None
    assert model.form is None and model.batches


def test_the_form_of_another_model_is_not_used(ready: Ready, tmp_path: Path) -> None:
    other = pipeline()
    other[-1].coef_ = other[-1].coef_ + 0.1
    save(other, tmp_path / "other")
    model, given = ready()
    theirs = serving_artifact(tmp_path / "other", FEATURES)
    assert warm_up(model, dataclasses.replace(given, form=theirs.form), 1e-6) is None
    assert model.form is None


def test_golden_rows_without_an_optional_column_open_no_form(ready: Ready, tmp_path: Path) -> None:
    _, given = ready()
    signature = infer_signature(FEATURES.assign(gate=["A", None, "B", "C"]), np.zeros((4, 2)))
    save(pipeline(), tmp_path / "optional", signature=signature)
    model = load(Artifact("flights", 2, "none"), tmp_path / "optional")
    assert warm_up(model, given, 1e-6) is None
    assert model.form is None and model.batches, "warmed up by the golden rows all the same"


@pytest.mark.parametrize("rows", [[{"distance": "far", "carrier": "UA"}], [{"carrier": "UA"}]])
def test_golden_rows_that_no_request_could_bring_give_way_to_the_example(ready: Ready, rows: Any) -> None:
    model, given = ready()
    assert warm_up(model, recorded(given, rows=rows, answers=[0.5]), 1e-6) is None
    assert model.batches, "warmed up by its example"


def test_answers_of_another_shape_are_not_compared() -> None:
    assert RecordedPredictions([{}], [[0.1, 0.9]]).differing([0.9]) is None
    assert RecordedPredictions([{}] * 2, ["a", "b"]).differing(["a", "c"]) == 1
    assert RecordedPredictions([{}] * 2, [1e9, 2.0]).differing([1e9 + 1, 2.0]) is None, "relative for large numbers"
    assert RecordedPredictions([{}] * 2, [float("nan"), 0.5]).differing([float("nan"), 0.500002]) == 1


def test_it_is_fetched_with_the_model_and_serves_it_compiled_from_the_first_answer(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        digest = bench.store.add_beside()
        bench.promote(1, artifact_ref=("beside", digest))
        bench.caught_up.set()
        await until(lambda: bench.active() == (1, 1))
        state = bench.reconciler.state("flights")
        assert state is not None and state.active is not None
        assert state.active.model.form is not None, "no second step compiles it"
        assert state.active.loaded.served.name == "linear"
        assert bench.store.fetched == ["beside", "here"] and bench.cache.holds(digest)

    run_bench(tmp_path, scenario)


@pytest.mark.parametrize("uri", ["gone", "foreign"])
def test_a_version_is_served_without_when_it_cannot_be_had(tmp_path: Path, uri: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.promote(1, artifact_ref=(uri, "sha256:" + "0" * 64))
        bench.caught_up.set()
        await until(lambda: bench.active() == (1, 1))
        state = bench.reconciler.state("flights")
        assert state is not None and state.active is not None
        active = state.active
        await until(lambda: active.model.form is not None)

    run_bench(tmp_path, scenario)


def test_one_that_was_changed_since_is_not_used(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        digest = bench.store.add_beside()
        (bench.store.folder / "beside" / "answers.json").write_text("{}")
        assert digest_tree(bench.store.folder / "beside") != digest
        bench.promote(1, artifact_ref=("beside", digest))
        bench.caught_up.set()
        await until(lambda: bench.active() == (1, 1))
        assert not bench.cache.holds(digest)

    run_bench(tmp_path, scenario)


def test_a_champion_that_answers_otherwise_is_refused_and_the_one_before_goes_on(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.promote(1)
        bench.caught_up.set()
        await until(lambda: bench.active() == (1, 1))
        digest = bench.store.add_beside(shift=0.2)
        bench.promote(2, version=2, artifact_ref=("beside", digest))
        await until(lambda: len(bench.reports) > 1)
        assert bench.active() == (1, 1)
        assert "does not answer as it did when it was judged" in getattr(bench.reports[-1], "reason", "")
        bench.promote(3, version=2, artifact_ref=("beside", digest))  # again: no way around it
        await until(lambda: len(bench.reports) > 2)
        assert bench.active() == (1, 1)

    run_bench(tmp_path, scenario)
