"""What a model's policy says of serving goes before what the replica's settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sql
from prometheus_client import REGISTRY

from serving.policies import parity_tolerances, policies_of, prediction_shares
from serving.settings import Settings
from support.in_process import InProcess
from support.loaders import Bench, run_bench, until
from support.versions import FEATURES, ROW, pipeline
from support.waiting import eventually

SAYS = "model: flights\nserving: {parity_tolerance: 0.001, prediction_share: 0.25}\n"


def settings(folder: Path) -> Settings:
    return Settings(_env_file=None, policies_dir=folder)


def test_what_a_policy_says_is_taken_by_model_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "flights.yaml").write_text(SAYS)
    (tmp_path / "churn.yaml").write_text("model: churn\n")
    policies = policies_of(settings(tmp_path))
    assert set(policies) == {"flights", "churn"}
    assert parity_tolerances(policies) == {"flights": 0.001}
    assert prediction_shares(policies) == {"flights": 0.25}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("serving: {parity_tolerance: -1}", "parity_tolerance"),
        ("serving: {prediction_share: 2}", "prediction_share"),
        ("serving: {prediction_shares: 1}", "did you mean 'prediction_share'"),
    ],
)
def test_a_mistake_is_named_and_does_not_end_the_replica(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "flights.yaml").write_text(f"model: flights\n{line}\n")
    [problem] = policies_of(settings(tmp_path)).problems
    assert "flights.yaml:2" in problem.reason and said in problem.reason


@pytest.mark.parametrize(
    ("tolerances", "compile_", "tolerance"),
    [
        (None, True, 1e-6),
        ({"flights": 1e-3}, True, 1e-3),
        ({"churn": 1e-3}, True, 1e-6),
        ({"flights": 1.0}, False, None),
    ],
)
def test_a_form_is_proven_within_the_tolerance_of_its_model(
    tmp_path: Path, tolerances: Any, compile_: bool, tolerance: float | None
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.promote(1)
        bench.caught_up.set()
        await until(lambda: bench.active() == (1, 1))
        state = bench.reconciler.state("flights")
        assert state is not None and state.active is not None
        loaded = state.active.loaded
        await until(lambda: loaded.compiled)
        assert (loaded.served.proof.tolerance if loaded.served and loaded.served.proof else None) == tolerance
        assert loaded.model.predict(loaded.model.reader.read([ROW, *FEATURES.to_dict("records")], 9)).rows == 5

    run_bench(tmp_path, scenario, tolerances=tolerances, compile=compile_)


def test_a_replica_reads_them_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "flights.yaml").write_text(SAYS.replace("0.25", "0"))
    models: dict[str, Any] = {"flights": (pipeline(), {})}

    with InProcess(tmp_path / "data", models, policies_dir=tmp_path / "policies") as replica:

        def tolerance() -> float | None:
            [shown] = replica.send(("GET", "/models", [], []))
            [model] = shown.json()["models"]
            parity = model["form"]["parity"]
            return parity and parity["tolerance"]

        assert eventually(tolerance) == 0.001
        before = dropped()
        [answer] = replica.send(("POST", "/predict", [], [orjson.dumps({"rows": [ROW, ROW]})]))
        assert answer.status == 200 and dropped() == before + 2


def test_what_changes_while_a_replica_runs_applies_to_the_next_request(tmp_path: Path) -> None:
    """Also where there was no policy at its start."""
    folder = tmp_path / "policies"
    folder.mkdir()
    models: dict[str, Any] = {"flights": (pipeline(), {})}

    with InProcess(tmp_path / "data", models, policies_dir=folder) as replica:

        def is_dropped() -> bool:
            before = dropped()
            [answer] = replica.send(("POST", "/predict", [], [orjson.dumps({"rows": [ROW]})]))
            assert answer.status == 200
            return dropped() > before

        eventually(lambda: replica.send(("GET", "/models", [], []))[0].json()["models"][0]["form"]["parity"])
        assert not is_dropped()
        (folder / "flights.yaml").write_text(SAYS.replace("0.25", "0"))
        replica.policies.look()
        replica.policies.look()
        assert is_dropped()
        (folder / "flights.yaml").unlink()
        replica.policies.look()
        replica.policies.look()
        assert not is_dropped()


def test_a_source_of_features_that_comes_and_goes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'features.db'}"
    with sql.create_engine(url).begin() as connection:
        FEATURES.assign(who=["a", "b", "c", "d"][: len(FEATURES)]).to_sql("flights", connection)
    folder = tmp_path / "policies"
    folder.mkdir()
    models: dict[str, Any] = {"flights": (pipeline(), {})}

    with InProcess(tmp_path / "data", models, policies_dir=folder, features_url=url) as replica:

        def status(body: dict[str, Any]) -> int:
            [answer] = replica.send(("POST", "/models/flights/predict", [], [orjson.dumps(body)]))
            return answer.status

        def says(policy: str) -> None:
            (folder / "flights.yaml").write_text(policy)
            replica.policies.look()
            replica.policies.look()

        assert status({"who": "a"}) == status({"entities": ["a"]}) == 422
        says("model: flights\nfeatures: {table: flights, key: who}\n")
        assert status({"who": "a"}) == status({"entities": ["a"]}) == 200
        says("model: flights\nfeatures: {table: nowhere, key: who}\n")
        assert status({"who": "a"}) == 503, "nothing of the other table is remembered"
        says("model: flights\n")
        assert status({"who": "a"}) == status({"entities": ["a"]}) == 422
        says("model: flights\nfeatures: {table: flights, key: who}\n")
        assert status({"who": "a"}) == 200


def dropped() -> float:
    name, labels = "gauntlet_serving_predictions_dropped_total", {"reason": "not sampled"}
    return REGISTRY.get_sample_value(name, labels) or 0.0
