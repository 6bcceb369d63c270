"""Where the story plays: a separate stack that this process runs, or one that already runs somewhere."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gauntlet.broker import Broker
from gauntlet.credentials import headers_for
from gauntlet.demo.checks import Process, StepFailed
from gauntlet.demo.story import Skipped
from gauntlet.endpoints import Address
from gauntlet.errors import CliError
from gauntlet.service_client import ServiceClient
from gauntlet.stack import Stack
from gauntlet.stack_config import StackConfig, free_ports
from gauntlet.stack_file import StackState, endpoints

SERVICES = ("trainer", "gatekeeper", "drift", "serving", "staging")
MARKER = "this-folder-is-gauntlet-demos-own"
RESTART_SECONDS = 60.0

# A demo that used the reader's own Kafka, MLflow or database would find other data in them.
OWN_SETTINGS = {
    "AUTH": "off",
    "DATABASE_URL": "",
    "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
    "TOPIC_PREFIX": "",
    "LOG_FORMAT": "text",
    "OMP_NUM_THREADS": "1",  # seven processes share the cores: threads of one model would only compete
}


@dataclass
class Site:
    """`stack` is None for one that runs elsewhere: its processes are then out of reach."""

    urls: Mapping[str, str]
    mlflow_uri: str
    broker: Broker
    data_dir: Path
    stack: Stack | None = None
    policies: Path | None = None
    """Where the policies may be changed: of the demo's own stack."""

    def set_policy(self, model_name: str, key: str, value: str) -> None:
        """Replace a top-level key of the model's policy, with its comment, by `key: value`, in YAML.

        Raises Skipped where the policies are somebody else's.
        """
        if self.policies is None:
            raise Skipped("the policies of this stack are not this command's to change")
        path = self.policies / f"{model_name}.yaml"
        text, found = re.subn(rf"(?ms)^{key}:.*?(?=^\w|\Z)", f"{key}: {value}\n", path.read_text())
        if found != 1:
            raise StepFailed(f"{path} has {key!r} {found} times")
        path.write_text(text)

    def headers(self, name: str) -> dict[str, str]:
        """Return what presents the caller's token to a service, for requests that measure or count."""
        return headers_for(self.urls[name])

    def service(self, name: str) -> ServiceClient:
        return ServiceClient(Address(name, self.urls[name], self.data_dir, named=True, running=self.stack is not None))

    def processes(self) -> dict[str, Process]:
        """Return every part's process. Raises Skipped where they are out of reach."""
        stack = self._own("looking at processes")
        return {name: Process(pid, stack.started_at(name)) for name, pid in stack.pids.items()}

    def kill_and_await(self, name: str, say: Callable[[str], None]) -> float:
        """SIGKILL one part and return the seconds until its successor was ready."""
        stack = self._own(f"killing the {name}")
        began = time.monotonic()
        killed = stack.kill(name)
        say(f"{name} (pid {killed}) killed with SIGKILL")
        while stack.pids.get(name, killed) == killed:
            if time.monotonic() - began > RESTART_SECONDS:
                raise StepFailed(f"{name} was not started again within {RESTART_SECONDS:g} s")
            time.sleep(0.05)
        stack.await_ready(name, RESTART_SECONDS)
        return time.monotonic() - began

    def require_control(self, what: str) -> None:
        """Raise Skipped where processes are out of reach."""
        self._own(what)

    def _own(self, what: str) -> Stack:
        if self.stack is None:
            raise Skipped(f"{what} is not this command's to do: it did not start the stack")
        return self.stack


def own_config(data_dir: Path, policies_dir: Path, environment: Mapping[str, str]) -> StackConfig:
    """Configure a stack on free ports in an empty folder. Raises CliError for a folder that holds something else."""
    if data_dir.exists():
        if any(data_dir.iterdir()) and not (data_dir / MARKER).exists():
            raise CliError(
                f"{data_dir.absolute()} is not empty and was not made by `gauntlet demo`",
                "The demo begins with an empty folder: name another one with --data-dir.",
            )
        _require_ended(data_dir)
        shutil.rmtree(data_dir)
    data_dir.mkdir(parents=True)
    (data_dir / MARKER).touch()
    own_policies = data_dir / "policies"  # the story changes one
    own_policies.mkdir()
    for path in policies_dir.glob("*.y*ml"):
        shutil.copy(path, own_policies)
    return StackConfig(
        data_dir=data_dir,
        ports=free_ports(),
        policies_dir=own_policies,
        environment={**OWN_SETTINGS, **environment},
    )


def own_site(stack: Stack) -> Site:
    """Return the site of a started stack."""
    broker = Broker(stack.config.data_dir, stack.config.bootstrap_servers)
    urls = {name: stack.url(name) for name in SERVICES}
    return Site(urls, stack.config.tracking_uri, broker, stack.config.data_dir, stack, stack.config.policies_dir)


def running_site(data_dir: Path) -> Site:
    """Return the stack that variables or `data_dir` name, else the one on the default ports. Raises CliError."""
    found = endpoints(data_dir)
    urls = {name: str(getattr(found, name)) for name in SERVICES}
    site = Site(urls, found.mlflow.tracking_uri, Broker(data_dir, None), data_dir)
    for name in SERVICES:
        _require_ready(name, urls[name])
    return site


def require_no_champion(site: Site, model_name: str) -> None:
    """Check that the model has no champion yet, as the story requires. Raises CliError when it has."""
    served: list[dict[str, Any]] = site.service("serving").get("/models")["models"]
    champion = next((found["model_version"] for found in served if found["model_name"] == model_name), None)
    if champion is not None:
        raise CliError(
            f"{model_name} has a champion already (v{champion}), and the story begins without one",
            "Play it against a fresh stack, or without --stack: the demo then starts one of its own.",
        )


def _require_ready(name: str, url: str) -> None:
    try:
        answer = httpx.get(f"{url}/ready", timeout=3.0, trust_env=False)
    except httpx.HTTPError as error:
        raise CliError(
            f"{name} at {url} does not answer: {error or type(error).__name__}",
            f"Is the stack up? {name.upper()}_URL names another address.",
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise CliError(f"{name} at {url} is not ready: {answer.text[:200]}", "Wait until it is: gauntlet status")


def _require_ended(data_dir: Path) -> None:
    from gauntlet.processes import is_running
    from gauntlet.stack_file import read_stack

    state: StackState | None = read_stack(data_dir)
    if state is not None and is_running(state.supervisor.pid, state.supervisor.process_started):
        raise CliError(
            f"a demo (or a stack) runs in {data_dir.absolute()}, pid {state.supervisor.pid}",
            "Wait for its end, or name another folder with --data-dir.",
        )
