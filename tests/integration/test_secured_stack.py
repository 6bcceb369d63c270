"""The whole of it on a Kafka that is encrypted, knows who connects, and allows exactly what `gauntlet acls` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
import yaml
from confluent_kafka import KafkaException, Producer

from chassis.kafka import confluent_options
from contracts import GatePassed, PredictionMade, Promoted, RolloutChanged
from support.cli import gauntlet, ok
from support.mlflow_server import MlflowServer
from support.secured import PRINCIPALS, TESTS, Rule, SecuredKafka, SecuredService, rules
from support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

DENIED = "TOPIC_AUTHORIZATION_FAILED"
SERVICES = ("trainer", "gatekeeper", "serving", "serving-staging", "drift")
POLICY = {
    "recipe": "support.tiny_recipe:recipe",
    "metric": "roc_auc",
    "entity": "user",
    "gates": {"latency": False, "performance": {"floor": {"roc_auc": 0.6}}},
    "sandbox": {"seconds": 60, "memory_mb": 1024},
    "drift": {"window": {"rows": 200}, "drift_share": 0.5, "after": "1 of 1", "cooldown": "1h"},
}


class Stack:
    """Services and commands, each as its own principal."""

    def __init__(self, kafka: SecuredKafka, tracking_uri: str, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        # Of its own: the gatekeeper of the other stack finds the versions of one name in MLflow, too.
        self.model = "guarded-mtls" if kafka.is_mtls else "guarded-scram"
        self.prefix = f"t{uuid4().hex[:8]}."
        (folder / "policies").mkdir()
        (folder / "policies" / f"{self.model}.yaml").write_text(yaml.safe_dump({"model": self.model, **POLICY}))
        self.common = {
            "TOPIC_PREFIX": self.prefix,
            "MLFLOW_TRACKING_URI": tracking_uri,
            "POLICIES_DIR": str(folder / "policies"),
            "TRAINER_RECIPE_PATH": str(TESTS),
            "GATEKEEPER_PROVES_FORM": "false",
            "GATEKEEPER_TIMING_SECONDS": "1",
            "DRIFT_SWEEP_SECONDS": "1",
            "KAFKA_PARTITIONS": "2",
        }
        self.services = {name: SecuredService(name, self._variables(name), folder) for name in SERVICES}
        self.urls = {name: self.services[name].url for name in SERVICES}

    def _variables(self, name: str) -> dict[str, str]:
        role = {"SERVING_ROLE": "staging"} if name == "serving-staging" else {}
        return self.common | self.kafka.variables(name) | role

    def as_principal(self, name: str, patch: pytest.MonkeyPatch) -> None:
        """This process, and what it starts, is this principal from now on."""
        addresses = {f"{part.upper()}_URL": self.urls[part] for part in SERVICES if "-" not in part}
        for variable, value in (self.common | self.kafka.variables(name) | addresses).items():
            patch.setenv(variable, value)

    def predict(self, rows: int, seed: int) -> httpx.Response:
        random = np.random.default_rng(seed)
        given = [{"x": x, "y": y, "colour": "red"} for x, y in random.normal(size=(rows, 2)).tolist()]
        return httpx.post(f"{self.urls['serving']}/models/{self.model}/predict", json={"rows": given}, timeout=30)

    def judged(self) -> bool:
        """Whether drift has judged a window."""
        found = httpx.get(f"{self.urls['drift']}/models/{self.model}/windows").json()
        return any(window["data"]["outcome"] is not None for window in found)

    def counted(self) -> float:
        """How many predictions drift has handled."""
        handled = f'gauntlet_events_handled_total{{type="{PredictionMade.type}"}} '
        lines = httpx.get(f"{self.urls['drift']}/metrics").text.splitlines()
        return next((float(line.removeprefix(handled)) for line in lines if line.startswith(handled)), 0.0)

    def served(self) -> tuple[int, int]:
        """The champion's version and epoch, as serving has it."""
        models = httpx.get(f"{self.urls['serving']}/models").json()["models"]
        found = next(model for model in models if model["model_name"] == self.model)
        return found["model_version"], found["epoch"]


@pytest.fixture(scope="module", params=["scram", "mtls"])
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    kafka = SecuredKafka(request.param, tmp_path_factory.mktemp("secured"))
    with kafka.broker:
        yield kafka


@pytest.fixture(scope="module")
def stack(
    secured: SecuredKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    found = Stack(secured, mlflow_server.uri, tmp_path_factory.mktemp("stack"))
    try:
        for service in found.services.values():
            service.start()
        yield found
    finally:
        for service in found.services.values():
            service.stop()


@pytest.fixture(scope="module")
def printed(stack: Stack) -> list[Rule]:
    return rules(ok("acls", "--prefix", stack.prefix).out)


class TestUnderExactlyTheseLists:
    """In this order."""

    def test_without_any_a_service_says_who_lacks_what_and_goes_on_by_itself_once_it_is_allowed(
        self, stack: Stack, printed: list[Rule]
    ) -> None:
        for name, service in stack.services.items():
            who = f"the user of certificate CN={name}" if stack.kafka.is_mtls else f"User:{name}: "
            service.comes_to_say(f"does not allow {who}")
            service.comes_to_say(f"on topic '{stack.prefix}")
            service.comes_to_say("`gauntlet acls` prints what each service needs")
        assert {rule[0] for rule in printed} == {f"User:{name}" for name in PRINCIPALS}
        stack.kafka.allow(printed)
        for service in stack.services.values():
            service.becomes_ready()

    def test_a_model_is_trained_gated_promoted_and_served_and_its_window_is_judged(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stack.as_principal("training-job", monkeypatch)
        ok("train", stack.model, "--window", "w1..w3")
        serving = stack.services["serving"].url
        eventually(lambda: f'"{stack.model}"' in httpx.get(f"{serving}/models").text, timeout=120)
        eventually(lambda: stack.predict(1, 0).status_code == 200, timeout=60)
        made = stack.predict(250, 1)
        assert made.status_code == 200, made.text
        item = {"request_id": made.json()["request_id"], "row": 0, "label": 1}
        answer = httpx.post(f"{serving}/models/{stack.model}/feedback", json={"items": [item]}, timeout=30)
        assert answer.status_code == 202, answer.text
        eventually(stack.judged, timeout=60)
        eventually(lambda: stack.services["serving-staging"].failing() == {}, timeout=60)

    def test_people_read_publish_and_repair_as_what_they_are_and_no_more(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stack.as_principal("operator", monkeypatch)
        ok("register", stack.model, "1", "--reason", "once more")
        stack.as_principal("viewer", monkeypatch)
        ok("topics")
        shown = ok("events", "tail", "--from-beginning", "--limit", "3", "--json").lines
        assert json.loads(shown[0])["type"] == "TrainingRequested"
        assert ok("dead-letters", "list", "--json").json == []
        refused = gauntlet("register", stack.model, "1")
        assert refused.code == 1
        assert f"does not allow {'the user of certificate CN=viewer' if stack.kafka.is_mtls else 'User:viewer'}" in (
            " ".join(refused.err.split())
        )
        assert f"topic '{stack.prefix}model-registered'" in " ".join(refused.err.split())
        stack.as_principal("recovery", monkeypatch)
        ok("dead-letters", "replay", "--all")

    @pytest.mark.parametrize("event", [Promoted, RolloutChanged, GatePassed])
    def test_the_gatekeeper_alone_may_write_what_serving_believes(
        self, stack: Stack, printed: list[Rule], event: type[Promoted]
    ) -> None:
        topic = stack.prefix + event.topic
        assert {rule[0] for rule in printed if rule[1:] == ("Write", "topic", topic)} == {"User:gatekeeper"}
        others = [name for name in PRINCIPALS if name != "gatekeeper"]
        assert {name: _written(stack.kafka, name, topic) for name in others} == dict.fromkeys(others, DENIED)

    def test_what_is_forbidden_later_is_said_and_what_waited_for_it_follows(
        self, stack: Stack, printed: list[Rule], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prefix = stack.prefix
        lost = [
            ("User:gatekeeper", "Write", "topic", f"{prefix}promoted"),
            ("User:drift", "Read", "group", f"{prefix}drift.predictions"),
            ("User:drift", "Read", "topic", f"{prefix}predictions"),
        ]
        assert set(lost) <= set(printed)
        stack.as_principal("operator", monkeypatch)
        gauntlet("train", stack.model, "--window", "w2..w4", "--wait")  # whatever its verdict is
        version, epoch = stack.served()
        eventually(lambda: stack.counted() == 251, timeout=60)
        stack.kafka.forbid(lost)
        stack.services["gatekeeper"].comes_to_say(f"WRITE on topic '{prefix}promoted'")
        stack.services["drift"].comes_to_say(f"READ on topic '{prefix}predictions'")
        stack.services["drift"].comes_to_say(f"READ on group '{prefix}drift.predictions'")
        assert stack.predict(250, 2).status_code == 200
        url = f"{stack.urls['gatekeeper']}/models/{stack.model}"
        candidates = [each["model_version"] for each in httpx.get(f"{url}/candidates").json()]
        other = next(each for each in candidates if each != version)
        decision = {"actor": "ada", "reason": "to see it wait", "model_version": other}
        assert httpx.post(f"{url}/promote", json=decision, timeout=30).status_code == 200
        log = stack.services["gatekeeper"].log
        eventually(lambda: f"to use the topic '{prefix}promoted'" in log.read_text(), timeout=60)
        assert stack.served() == (version, epoch)
        stack.kafka.allow(lost)
        for service in stack.services.values():
            service.becomes_ready(timeout=60)
        eventually(lambda: stack.served() == (other, epoch + 1), timeout=60)
        eventually(lambda: stack.counted() == 501, timeout=60)


def _written(kafka: SecuredKafka, name: str, topic: str) -> str | None:
    """The name of the error with which a principal writes a message; None: it was stored."""
    said: list[Any] = []
    producer = Producer(confluent_options(kafka.settings(name)))
    try:
        producer.produce(topic, b"forged", b"guarded", on_delivery=lambda error, _: said.append(error))
        producer.flush(20)
    except KafkaException as error:
        said.append(error.args[0])
    [error] = said
    return None if error is None else str(error.name())
