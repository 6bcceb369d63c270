"""docker-compose.yml: the stack as images comes up healthy, does its work, and keeps it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chassis.policies import load_policy
from contracts import GateFailed, Promoted, TrainingFailed, TrainingRequested
from support import docker_engine
from support.bus_client import BusClient
from support.docker_engine import Compose
from support.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

MODEL = "flights-delay"
FLIGHT = {
    "hour": 17,
    "minute": 30,
    "weekday": 4,
    "distance": 1400,
    "temp": 75,
    "dewp": 60,
    "humid": 60,
    "wind_dir": 200,
    "wind_speed": 10,
    "precip": 0,
    "pressure": 1012,
    "visib": 10,
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The stack with the policy of flights, but for the latency gate: this machine may be busy with other tests."""
    docker_engine.require()
    policy = load_policy(docker_engine.REPOSITORY / "policies" / f"{MODEL}.yaml").model_dump(
        mode="json", exclude_unset=True
    )
    policy["gates"]["latency"] = False
    policies = tmp_path_factory.mktemp("policies")
    policies.chmod(0o755)  # for the user in the containers
    (policies / f"{MODEL}.yaml").write_text(yaml.safe_dump(policy))
    compose = Compose(settings={"POLICIES_DIR": str(policies)})
    try:
        compose("up", "--build", "--wait", timeout=1100)
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def bus(stack: Compose) -> Iterator[BusClient]:
    client = BusClient(f"127.0.0.1:{stack.ports['KAFKA']}", "")
    yield client
    client.close()


@pytest.fixture(scope="module")
def promoted(bus: BusClient) -> Promoted:
    """The first champion, trained in the stack on two months of flights."""
    bus.publish(TrainingRequested(model_name=MODEL, window="2013-01..2013-02"))

    def first() -> Promoted | None:
        bad = [event.data for event in bus.events(GateFailed.topic)]
        bad += [event.data for event in bus.events(TrainingFailed.topic) if isinstance(event.data, TrainingFailed)]
        if bad:
            raise RuntimeError(f"no champion: {bad[0]}")
        return next((event.data for event in bus.events(Promoted.topic)), None)

    found = eventually(first, timeout=240, interval=0.5)
    assert found
    return found


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def is_ready(stack: Compose, service: str) -> bool:
    try:
        return bool(ask(f"{stack.url(service)}/ready")["status"] == "ready")
    except OSError:
        return False


def prediction(stack: Compose, replica: str = "SERVING") -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = ask(f"{stack.url(replica)}/models/{MODEL}/predict", {"rows": [FLIGHT]})
        return found
    except OSError:
        return None


@pytest.mark.parametrize("service", ["TRAINER", "GATEKEEPER", "DRIFT", "SERVING", "STAGING"])
def test_every_service_is_ready(stack: Compose, service: str) -> None:
    assert ask(f"{stack.url(service)}/ready")["status"] == "ready"


def test_nothing_of_ours_runs_as_root_and_nothing_is_published_beyond_this_machine(stack: Compose) -> None:
    for service in ("mlflow", "trainer", "gatekeeper", "drift", "serving", "staging"):
        assert stack("exec", "-T", service, "id", "-u").strip() != "0"
    for line in stack("ps", "--format", "json").splitlines():
        for port in json.loads(line)["Publishers"] or []:
            assert port["PublishedPort"] == 0 or port["URL"] == "127.0.0.1", line


def test_the_image_holds_what_the_services_need_and_no_tools(stack: Compose) -> None:
    names = stack("exec", "-T", "trainer", "python", "-c", "import importlib.util as u; print([n for n in "
                  "('trainer', 'gatekeeper', 'serving', 'drift', 'examples', 'pytest', 'ruff', 'pip', 'gauntlet') "
                  "if u.find_spec(n)])")  # fmt: skip
    assert names.strip() == "['trainer', 'gatekeeper', 'serving', 'drift', 'examples']"


def test_a_request_ends_in_answers_of_the_new_champion(stack: Compose, promoted: Promoted) -> None:
    assert (promoted.model_version, promoted.epoch) == (1, 1)
    for replica in ("SERVING", "STAGING"):
        answer = eventually(lambda replica=replica: prediction(stack, replica), timeout=60)
        assert answer
        assert (answer["model_name"], answer["model_version"]) == (MODEL, 1)


def test_a_service_that_hangs_is_started_again(stack: Compose) -> None:
    container = stack("ps", "--quiet", "drift").strip()

    def restarts() -> int:
        inspect = ["docker", "inspect", "--format", "{{.RestartCount}}", container]
        return int(subprocess.run(inspect, capture_output=True, text=True, check=True).stdout)

    before = restarts()
    stack("exec", "-T", "drift", "bash", "-c", "kill -STOP $(cat /proc/1/task/1/children)")
    eventually(lambda: restarts() > before, timeout=120, interval=1)
    eventually(lambda: is_ready(stack, "DRIFT"), timeout=60, interval=0.5)


def test_production_starts_and_answers_while_everything_but_kafka_is_down(stack: Compose, promoted: Promoted) -> None:
    eventually(lambda: prediction(stack), timeout=60)
    stack("stop", "--timeout", "5", "gatekeeper", "trainer", "drift", "staging", "mlflow", "postgres")
    stack("restart", "--timeout", "5", "serving")
    answer = eventually(lambda: prediction(stack), timeout=60)
    assert answer
    assert answer["model_version"] == promoted.model_version


def test_what_was_decided_survives_the_containers(stack: Compose, bus: BusClient, promoted: Promoted) -> None:
    stack("down", "--timeout", "10")
    stack("up", "--wait", "--detach", "--no-build")
    assert eventually(lambda: prediction(stack), timeout=60)
    candidates = ask(f"{stack.url('GATEKEEPER')}/models/{MODEL}/candidates")
    assert len(candidates) == 1
    assert [event.data.epoch for event in bus.events(Promoted.topic)] == [promoted.epoch], "nothing was decided twice"
    assert ask(f"{stack.url('TRAINER')}/jobs?model={MODEL}")[0]["state"] == "done"
