"""The whole stack as processes: started, watched, hurt, stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contracts.forecasts import naive_error, values_before
from embedded_kafka.probe import taken
from examples.rows import lines
from examples.temperature import recipe
from gauntlet.errors import CliError
from gauntlet.processes import marked
from gauntlet.stack import Stack
from gauntlet.stack_config import MARK, StackConfig, free_ports
from gauntlet.stack_file import read_stack
from support.cli import gauntlet, ok
from support.observability import JOBS, Prometheus, empty, exported, metrics_in, program, queries
from support.stack_cli import EVERYTHING, POLICIES, alive
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_registry_of_other_tests")


NOTIFIED = ("sent_total", "failed_total", "attempts_failed_total", "waiting", "oldest_seconds")
TRUSTING = "gauntlet_serving_topic_behind"
"""Exported only by serving that trusts keys."""
WITHOUT_FAULTS: dict[str, str] = {
    "gauntlet_serving_invalid_requests_total": "all rows fit the model",
    "gauntlet_serving_trial_rows_total": "no policy here has a rollout",
    "drift_rollout_rows_total": "no policy here has a rollout",
    "drift_detected_total": "no drift is announced",
    "drift_held_total": "no drift is held",
    "drift_harmful_total": "no drift is announced",
    "trainer_drifts_ignored_total": "no drift is announced",
    "gauntlet_jobs_oldest_timestamp_seconds": "it has a series only while a job waits",
    "GauntletLabelsMissing": "it looks at the day before",
    "gauntlet_serving_load_failures_total": "no load fails",
    "gauntlet_serving_model_failed_total": "no model fails",
    "gauntlet_serving_feature_failures_total": "no predictions by id are asked for",
    "gauntlet_serving_evictions_total": "all models fit the memory",
    "gauntlet_events_refused_total": "no keys are trusted",
    TRUSTING: "no keys are trusted",
    "gauntlet_approval_expires_timestamp_seconds": "no policy here demands approval",
    **dict.fromkeys((f"gauntlet_notifications_{what}" for what in NOTIFIED), "there are no targets"),
    "gauntlet_champion_beats_baseline": "no policy here has benchmarks",
}
"""Metrics that have no series in a stack like this one, and alerts that look at earlier days: they return nothing."""


@pytest.fixture(scope="module")
def notes() -> list[tuple[str, str]]:
    return []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, str]]) -> Iterator[Stack]:
    config = StackConfig(tmp_path_factory.mktemp("stack"), free_ports(), policies_dir=POLICIES)
    with Stack(config, lambda part, what: notes.append((part, what))) as running:
        yield running


def status(stack: Stack) -> tuple[int, dict[str, Any]]:
    answer = gauntlet("status", "--json", "--data-dir", str(stack.config.data_dir))
    return answer.code, json.loads(answer.out)


class TestTheStack:
    """One stack for all of these, in this order: the last one stops it."""

    def test_every_part_is_ready_and_the_file_says_where_it_is(self, stack: Stack) -> None:
        assert set(stack.names) == EVERYTHING
        assert {name: stack.problem(name) for name in stack.names} == dict.fromkeys(stack.names)
        state = read_stack(stack.config.data_dir)
        assert state is not None
        assert state.ready
        assert alive(state) == stack.pids
        assert state.kafka.bootstrap_servers == stack.url("kafka")
        assert state.mlflow.tracking_uri == stack.url("mlflow")

    def test_status_tells_url_pid_and_health_of_each(self, stack: Stack) -> None:
        code, found = status(stack)
        assert code == 0
        assert found["healthy"]
        assert found["kafka"]["bootstrap_servers"] == stack.url("kafka")
        assert found["mlflow"]["tracking_uri"] == stack.url("mlflow")
        assert {part["name"]: (part["url"], part["pid"], part["health"]) for part in found["parts"]} == {
            name: (stack.url(name), stack.pids[name], "ready") for name in EVERYTHING
        }

    def test_topics_are_there_and_as_they_must_be(self, stack: Stack) -> None:
        answer = gauntlet("topics", "--json", "--data-dir", str(stack.config.data_dir))
        assert answer.code == 0, answer.err
        topics = {topic["name"]: topic for topic in json.loads(answer.out)["topics"]}
        assert topics["promoted"]["cleanup_policy"] == "compact"
        assert topics["predictions"]["cleanup_policy"] == "delete"

    def test_a_forecaster_is_trained_gated_promoted_and_judged_on_labels_that_come_later(self, stack: Stack) -> None:
        """examples/temperature.md: July's golden rows show that v2 is better than v1; November's ten days little."""
        data_dir = ("--data-dir", str(stack.config.data_dir))
        ok("train", "temperature", "--window", "2013-01..2013-03", "--wait", *data_dir)
        ok("train", "temperature", "--window", "2013-04..2013-06", "--wait", *data_dir)
        shown = ok("show", "temperature", "2", "--json", *data_dir).json
        verdict = next(found for found in shown["verdicts"] if found["gate"] == "performance")
        assert verdict["metric"] == "mase" and verdict["observed"] < 0.6 < 0.9 < verdict["details"]["champion"]
        assert "points in time): better by" in verdict["reason"] and verdict["details"]["blocks"]["points"] == 248
        november = recipe.load("2013-11").head(240)
        sent = [json.loads(line) for line in lines(november, recipe.label)]
        answer = httpx.post(
            f"{stack.url('serving')}/models/temperature/predict", json={"rows": [each["row"] for each in sent]}
        ).json()
        assert answer["model_version"] == 2
        predicted = np.array([each["label"] for each in answer["predictions"]])
        request = {"request_id": answer["request_id"]}
        items = [{**request, "row": at, "label": each["label"]} for at, each in enumerate(sent)]
        told = httpx.post(f"{stack.url('serving')}/models/temperature/feedback", json={"items": items})
        assert told.status_code == 202, told.text

        def judged() -> dict[str, Any] | None:
            (window,) = httpx.get(f"{stack.url('drift')}/models/temperature/windows?version=2").json() or [None]
            return window["performance"] if window and window["performance"]["outcome"] else None

        performance = eventually(judged, timeout=90)
        assert performance is not None
        errors, july = np.abs(predicted - november[recipe.label].to_numpy()), recipe.load("2013-07")
        labels = july[recipe.label].tolist()
        naive = naive_error(labels, values_before(labels, july["issued_at"].tolist(), july["airport"].tolist()))
        assert naive is not None
        assert performance["metric"] == "mase" and performance["observed"] == pytest.approx(errors.mean() / naive)
        # A third worse than in July: ten days of three airports are two or three kinds of weather, and show little.
        assert performance["outcome"] == "Passed" and "240 labelled rows" in performance["reason"], performance
        assert performance["low"] < performance["observed"] < performance["high"]

    def test_every_metric_that_dashboards_and_rules_name_is_exported(self, stack: Stack) -> None:
        """Of the stack on which a model was trained, gated, promoted, asked for predictions and judged by labels."""
        found = {TRUSTING}.union(*(exported(stack.url(job)) for job in JOBS))
        missing = {where: metrics_in(query) - found for where, query in queries() if metrics_in(query) - found}
        assert not missing

    def test_every_query_of_dashboards_and_rules_returns_data_in_prometheus(self, stack: Stack, tmp_path: Path) -> None:
        prometheus_program = program("prometheus")
        data_dir = ("--data-dir", str(stack.config.data_dir))
        ok("rollback", "temperature", "--reason", "to see it in the metrics", *data_dir)
        ok("freeze", "temperature", "--reason", "to see it in the metrics", *data_dir)
        targets = {job: stack.url(job).removeprefix("http://") for job in JOBS}
        with Prometheus(tmp_path, targets) as prometheus:
            eventually(lambda: len(prometheus.query("up == 1")) == len(JOBS), timeout=60)
            assert not (left := empty(prometheus, WITHOUT_FAULTS)), f"no data:\n{left}"
            bad = [
                rule for group in prometheus.get("rules")["groups"] for rule in group["rules"] if rule["health"] != "ok"
            ]
            assert not bad, prometheus_program
            firing = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
            assert "GauntletRolledBack" in firing
        ok("unfreeze", "temperature", "--reason", "seen", *data_dir)

    def test_a_second_stack_in_the_same_folder_is_refused(self, stack: Stack) -> None:
        with pytest.raises(CliError, match="runs already"):
            Stack(StackConfig(stack.config.data_dir, free_ports(), policies_dir=POLICIES)).start()
        assert read_stack(stack.config.data_dir) is not None

    def test_a_killed_service_comes_back_and_no_other_is_touched(
        self, stack: Stack, notes: list[tuple[str, str]]
    ) -> None:
        others = {name: (pid, stack.started_at(name)) for name, pid in stack.pids.items() if name != "gatekeeper"}
        killed = stack.kill("gatekeeper")
        eventually(lambda: stack.pids.get("gatekeeper") not in (None, killed))
        stack.await_ready("gatekeeper")
        assert {name: (stack.pids[name], stack.started_at(name)) for name in others} == others
        assert any(part == "gatekeeper" and "SIGKILL" in what for part, what in notes)
        _, found = status(stack)
        assert next(part for part in found["parts"] if part["name"] == "gatekeeper")["restarts"] >= 1

    def test_a_killed_broker_comes_back_and_everybody_finds_it(self, stack: Stack) -> None:
        address, killed = stack.url("kafka"), stack.kill("kafka")
        eventually(lambda: stack.pids.get("kafka") not in (None, killed))
        for name in stack.names:
            stack.await_ready(name)
        assert stack.url("kafka") == address

    def test_a_part_that_is_stopped_stays_down_until_it_is_started(self, stack: Stack) -> None:
        stack.stop_part("drift")
        assert "drift" not in stack.pids
        code, found = status(stack)
        assert code == 1
        assert "not running" in next(part for part in found["parts"] if part["name"] == "drift")["health"]
        stack.start_part("drift")
        assert stack.problem("drift") is None

    def test_an_unknown_part_is_an_error_that_names_the_parts(self, stack: Stack) -> None:
        with pytest.raises(CliError, match="'driff'") as failure:
            stack.restart("driff")
        assert "drift" in str(failure.value)

    def test_stop_leaves_no_process_and_no_file(self, stack: Stack) -> None:
        state = stack.state()
        assert set(alive(state)) == EVERYTHING
        stack.stop()
        assert alive(state) == {}
        assert marked(MARK, state.stack_id) == []
        assert read_stack(stack.config.data_dir) is None
        assert not any(taken(port) for port in stack.config.ports.values())
