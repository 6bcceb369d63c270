"""The files of deploy/observability as values: rules, tests of rules, dashboards, their queries, and a Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.processes import free_port
from support.waiting import eventually

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
JOBS = ("trainer", "gatekeeper", "drift", "serving", "staging")

_METRIC = re.compile(r"(?<![\w:])(?:gauntlet|drift|trainer|process)_[a-z0-9_]+")
_RECORDED = re.compile(r"(?<![\w:])\w+:gauntlet_\w+:\w+")
_SAMPLE = re.compile(r"_(?:bucket|sum|count)$")
_COMPARISON = re.compile(r"\s(?:==|!=|<=|>=|<|>)\s")
_INNER = re.compile(r"\s(?:==|!=|<=|>=|<|>)\s[\d.]+(?=\))")


def rules() -> list[dict[str, Any]]:
    files = sorted((FOLDER / "rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


@cache
def dashboards() -> Mapping[str, Any]:
    return {file.name: json.loads(file.read_text()) for file in sorted((FOLDER / "grafana/dashboards").glob("*.json"))}


def metrics_in(query: str) -> set[str]:
    """The metrics that services export, by the names of their families."""
    without_texts = re.sub(r'"[^"]*"', '""', _RECORDED.sub("", query))
    return {_SAMPLE.sub("", name) for name in _METRIC.findall(without_texts)}


def unlimited(expr: str) -> str:
    """The vector of an alert before it is compared: what the alert looks at, whether it fires or not."""
    inner, depth = _INNER.sub("", expr), 0
    for at, letter in enumerate(inner):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(letter, 0)
        if depth == 0 and _COMPARISON.match(inner, at):
            return inner[:at].strip()
    return inner


def queries() -> Iterator[tuple[str, str]]:
    """Every query of every panel and rule, with where it stands; alerts without their comparisons."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']} {target['refId']}", target["expr"]
    for rule in rules():
        yield rule.get("record") or rule["alert"], unlimited(rule["expr"]) if "alert" in rule else rule["expr"]


def program(name: str) -> str:
    """The path of prometheus or promtool; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here: `apt-get install prometheus` (Debian) has it")
    return found


@dataclass
class Prometheus:
    """A Prometheus with the configuration for `gauntlet up`, but for its ports, and looking each second."""

    folder: Path
    targets: Mapping[str, str]
    """host:port, by job."""

    def __enter__(self) -> Prometheus:
        config = yaml.safe_load((FOLDER / "prometheus-local.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(FOLDER / "rules" / "*.yml")]
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [self.targets[job["job_name"]]]}]
        file = self.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        address = self.url.removeprefix("http://")
        command = [program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={self.folder / 'data'}"]
        with (self.folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            eventually(self._ready, timeout=60)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def query(self, expr: str) -> list[Any]:
        found: list[Any] = self.get("query", query=expr)["result"]
        return found

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self.folder / "prometheus.log").read_text()[-2000:]
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def exported(url: str) -> set[str]:
    """The families of a service's /metrics."""
    text = httpx.get(f"{url}/metrics", timeout=30, trust_env=False).text
    counters = set(re.findall(r"^# TYPE (\S+) counter$", text, re.M))
    return counters | set(re.findall(r"^# TYPE (\S+) (?:gauge|histogram)$", text, re.M))


def empty(prometheus: Prometheus, expected: Mapping[str, str], seconds: float = 60) -> str:
    """The queries that still return nothing after `seconds`, a line each.

    But for those that `expected` names, or that read nothing but metrics which it names.
    """
    waiting = {
        where: expr
        for where, expr in queries()
        if where not in expected and (not (read := metrics_in(expr)) or not read <= set(expected))
    }
    until = time.monotonic() + seconds
    while True:
        waiting = {where: expr for where, expr in waiting.items() if not prometheus.query(expr)}
        if not waiting or time.monotonic() > until:
            return "\n".join(f"{where}: {expr}" for where, expr in waiting.items())
        time.sleep(0.5)
