"""The examples for CI in examples/ci: their shell lines, in the environment that they state, against a real stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedded_kafka import EmbeddedKafka
from gauntlet.stack import Stack
from gauntlet.stack_config import StackConfig, free_ports
from support.candidates import Candidates, rows
from support.cli import ok
from support.mlflow_server import MlflowServer

EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"
MODEL = "late-flights"
POLICY: dict[str, Any] = {
    "model": MODEL,
    "metric": "roc_auc",
    "golden": {"dataset": "latest"},
    "gates": {"latency": False, "leakage": {"unknown": "pass"}, "performance": {"floor": {"roc_auc": 0.6}}},
}


@dataclass
class Repository:
    """A checkout of a model's repository on a runner, and the variables of its project."""

    folder: Path
    variables: dict[str, str]
    ran: list[str] = field(default_factory=list)

    def change(self, version: int, **gates: Any) -> None:
        """What a commit does."""
        policy = {**POLICY, "gates": {**POLICY["gates"], **gates}}
        for name, content in (("policies", yaml.safe_dump(policy)), ("versions", f"{version}\n")):
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name / (f"{MODEL}.yaml" if name == "policies" else MODEL)).write_text(content)

    def run(self, script: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "GAUNTLET_FORK_SERVER") if name in os.environ}
        ended = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],  # as runners of both do
            cwd=self.folder,
            env={**kept, "PATH": path, "PYTHONUNBUFFERED": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        self.ran.append(ended.stdout)
        return ended

    def github(self, job: str) -> int:
        """Run the steps of a job until one fails; the exit code of the last."""
        workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
        steps = [step for step in workflow["jobs"][job]["steps"] if "run" in step]
        assert [step["name"] for step in steps].index("Install") == 0, "which is what this environment has already"
        variables = {name: self._expanded(value) for name, value in workflow["env"].items()}
        for step in steps[1:]:
            own = {name: self._expanded(value) for name, value in step.get("env", {}).items()}
            ended = self.run(step["run"], {**variables, **own, "GITHUB_SHA": "5f1d2c9e8a77"})
            if ended.returncode:
                break
        return ended.returncode

    def gitlab(self, job: str) -> int:
        """Run the script of a job in one shell; its exit code."""
        pipeline = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text())
        variables = {**self.variables, **pipeline["variables"], "CI_COMMIT_SHORT_SHA": "5f1d2c9e"}
        return self.run("\n".join(pipeline[job]["script"]), variables).returncode

    def _expanded(self, value: str) -> str:
        return re.sub(
            r"\$\{\{ (?:vars|secrets)\.(\w+) \}\}", lambda found: self.variables.get(found[1], ""), str(value)
        )


@pytest.fixture(scope="module")
def stack(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("ci")
    policies = folder / "policies"
    policies.mkdir()
    (policies / f"{MODEL}.yaml").write_text(yaml.safe_dump(POLICY))
    config = StackConfig(
        folder / "stack",
        free_ports(),
        policies_dir=policies,
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        mlflow_tracking_uri=mlflow_server.uri,
        services=("gatekeeper",),
    )
    with Stack(config) as running:
        rows(seed=2).to_parquet(folder / "golden.parquet", index=False)
        at = ("--gatekeeper", running.url("gatekeeper"))
        ok("golden", "create", MODEL, str(folder / "golden.parquet"), "--note", "for CI", "--actor", "ann", *at)
        yield running


@pytest.fixture
def repository(stack: Stack, kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path: Path) -> Repository:
    variables = {
        "GATEKEEPER_URL": stack.url("gatekeeper"),
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
    }
    return Repository(tmp_path, variables)


@pytest.fixture(scope="module")
def candidates(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Candidates:
    return Candidates(mlflow_server.uri, tmp_path_factory.mktemp("candidates"))


@pytest.mark.parametrize("runner", ["github", "gitlab"])
def test_a_pull_request_is_checked_and_its_merge_registers_and_waits(
    runner: str, repository: Repository, candidates: Candidates
) -> None:
    run = getattr(repository, runner)
    repository.change(candidates.version(MODEL, "good").model_version)
    assert run("check") == 0, repository.ran
    assert "nothing changes" in "".join(repository.ran)
    assert "Nothing was recorded" in repository.ran[-1]
    assert run("release") == 0, repository.ran
    assert f"{MODEL} v" in repository.ran[-1]
    assert "promoted" in repository.ran[-1]

    repository.change(candidates.version(MODEL, "worse").model_version)
    assert run("check") == 1, "gauntlet try: it would fail"
    assert "Failed" in repository.ran[-1]
    assert run("release") == 3, "gauntlet wait: a gate failed"
    assert "Failed" in repository.ran[-1]

    repository.change(1, performance={"floor": {"roc_auc": 0.5}})
    assert run("check") == 3, "gauntlet policy diff: looser"
    assert "floor.roc_auc: 0.6 → 0.5" in repository.ran[-1]
