"""More models than fit the memory of a replica, on a real broker and a real MLflow: all are answered all the same."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import psutil

from contracts import ModelLoaded
from support.bus_client import BusClient
from support.replica import Replica
from support.versions import ROW, Uploads, large, score_of
from support.waiting import eventually

StartReplica = Callable[..., Replica]

MODELS = [f"model-{letter}" for letter in "abcdef"]
MEGABYTES = 40
BUDGET_MB = 100
FIT = 2
ROUNDS = 2


def resident(replica: Replica) -> dict[str, list[int]]:
    models = replica.client.get("/models").json()["models"]
    return {about["model_name"]: about["resident_versions"] for about in models if about["resident_versions"]}


def memory(replica: Replica) -> float:
    """Mebibytes."""
    assert replica.process is not None
    return float(psutil.Process(replica.process.pid).memory_info().rss / 2**20)


def ask(replica: Replica, path: str) -> int | str:
    """200, or what went wrong."""
    body = {"rows": [ROW]} if path.endswith("predict") else {"dataframe_records": [ROW]}
    answer = httpx.post(f"{replica.client.base_url}{path}", json=body, timeout=60)
    return 200 if answer.status_code == 200 else answer.text


def test_more_models_than_fit_memory_are_all_answered_within_it(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    replica = new_replica(env={"SERVING_MEMORY_MB": str(BUDGET_MB), "SERVING_LOAD_CONCURRENCY": "1"})
    replica.start_ready()
    empty = memory(replica)
    big = uploads.version("big", 1, large(1, MEGABYTES))
    for number, name in enumerate(MODELS, 1):
        own_bus.publish(dataclasses.replace(big, model_name=name, model_version=number).promoted(1))
    eventually(lambda: replica.metric("gauntlet_serving_swaps_total") == len(MODELS))

    about = {name: replica.model(name) for name in MODELS}
    evicted = [name for name in MODELS if about[name]["evicted"]]
    assert len(evicted) >= len(MODELS) - FIT
    assert set(resident(replica)) == set(MODELS) - set(evicted) != set()
    for number, name in enumerate(MODELS, 1):
        assert (about[name]["desired_version"], about[name]["desired_epoch"]) == (number, 1), "it stays listed"
    assert replica.metric("gauntlet_serving_evictions_total") == len(evicted)
    assert replica.client.get(f"/v2/models/{evicted[0]}/ready").status_code == 200
    assert len(replica.client.get(f"/v2/models/{evicted[0]}").json()["inputs"]) == 2, "loaded for who asks about it"

    most = 0.0
    for name in MODELS * ROUNDS:
        answer = replica.predict(ROW, model=name)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["model_name"], answer.json()["predictions"][0]["score"]) == (name, score_of(1))
        most = max(most, memory(replica))
    assert replica.ready()
    assert 0 < replica.metric("gauntlet_serving_resident_bytes") <= BUDGET_MB * 2**20
    # the budget, and one model that is loaded while the others are still there, with what its loading takes in passing
    assert most < empty + BUDGET_MB + 2 * MEGABYTES, f"{empty=} {most=}"

    gone = next(name for name in MODELS if replica.model(name)["evicted"])
    before = replica.metric("gauntlet_serving_swaps_total")
    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(partial(ask, replica), [f"/models/{gone}/predict"] * 32)) == {200}
        assert replica.metric("gauntlet_serving_swaps_total") == before + 1, "one load for all of them"
        paths = [f"/models/{name}/{way}" for name, way in itertools.product(MODELS, ("predict", "invocations"))]
        assert set(clients.map(partial(ask, replica), paths * 2)) == {200}
    eventually(lambda: len(resident(replica)) <= FIT)
    replica.stop()
    assert "Traceback" not in replica.log.read_text()
    statuses = [envelope.data for envelope in own_bus.events("serving-status")]
    loads = [status.model_version for status in statuses if isinstance(status, ModelLoaded)]
    assert loads.count(MODELS.index(gone) + 1) > 1, "each load is reported"
