"""Policies that are added, changed, broken and removed while each service runs, and a broken one at its start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded_kafka import EmbeddedKafka
from gauntlet.stack_file import URL_VARIABLES
from support.cli import gauntlet
from support.mlflow_server import MlflowServer
from support.processes import free_port, running
from support.waiting import eventually

SECONDS = 10.0
"""Within seconds; a machine that is busy takes some more."""


@pytest.mark.parametrize("service", ["trainer", "gatekeeper", "serving", "drift"])
def test_each_service_takes_up_what_changes(
    kafka: EmbeddedKafka,
    mlflow_server: MlflowServer,
    topic_prefix: str,
    tmp_path: Path,
    service: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies, port, log = tmp_path / "policies", free_port(), tmp_path / "log"
    policies.mkdir()
    (policies / "broken.yaml").write_text("model: broken\nmetrik: mae\n")
    (policies / "good.yaml").write_text("model: good\n")
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "TOPIC_PREFIX": topic_prefix,
        "DATA_DIR": str(tmp_path),
        "POLICIES_DIR": str(policies),
        f"{service.upper()}_PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    with running([sys.executable, "-m", service], env, log) as process:

        def details() -> dict[str, Any]:
            assert process.poll() is None, log.read_text()
            try:
                answer = httpx.get(f"{url}/ready", timeout=10)
            except httpx.TransportError:
                return {}
            return answer.json()["policies"] if answer.status_code == 200 else {}

        def digests() -> dict[str, str]:
            return {model: each["digest"] for model, each in details()["in_force"].items()}

        first = eventually(details, timeout=60)
        assert list(first["in_force"]) == ["good"], "a broken file disables its own model only"
        assert [(each["model"], each["kept"]) for each in first["problems"]] == [("broken", False)]
        assert "broken.yaml:2: metrik: unknown key" in first["problems"][0]["reason"]

        (policies / "added.yaml").write_text("model: added\n")
        added = eventually(lambda: digests().get("added"), timeout=SECONDS)
        (policies / "added.yaml").write_text("model: added\ngates: {latency: {p95_ms: 7}}\n")
        changed = eventually(lambda: digests()["added"] != added and digests()["added"], timeout=SECONDS)
        (policies / "added.yaml").write_text("model: added\ngates: {latency: {p95_ms: -7}}\n")
        eventually(lambda: {each["file"]: each["kept"] for each in details()["problems"]}.get("added.yaml"), SECONDS)
        assert digests()["added"] == changed, "the last good one stays in force"

        for name in URL_VARIABLES.values():
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(URL_VARIABLES[service], url)
        monkeypatch.setenv("POLICIES_DIR", str(policies))
        shown = gauntlet("policy", "check", "--data-dir", str(tmp_path / "none"))
        assert shown.code == 1 and "everywhere" in shown.out
        assert f"the last good one, in {service}" in shown.out and "p95_ms" in shown.err

        (policies / "added.yaml").unlink()
        eventually(lambda: "added" not in digests(), timeout=SECONDS)
        assert "Traceback" not in log.read_text()
