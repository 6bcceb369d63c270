"""`--wait` and `--follow`: follow a training, a verdict or a rollout over HTTP until its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from contracts import Envelope
from gauntlet.endpoints import Address
from gauntlet.errors import CliError
from gauntlet.output import console, notes
from gauntlet.rollout_lines import headline, progress_of, stage_name, standing
from gauntlet.service_client import ServiceClient, ServiceError
from gauntlet.verdict_lines import verdict_lines

if TYPE_CHECKING:
    from gauntlet_client import Waited

POLL_SECONDS = 0.3
SILENCE_SECONDS = 15.0
"""Longest silence of a service: a restart is no reason to give up."""


class Deadline:
    """When to give up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def passed(self) -> bool:
        return time.monotonic() > self._end


def wait_for_training(trainer: Address, request: Envelope[Any], deadline: Deadline) -> int:
    """Show the progress of the job of `request`, and return its version."""
    client = ServiceClient(trainer)
    waiting = Waiting(deadline, f"the trainer has not taken up event {request.id} yet")
    with _progress() as show:
        for jobs in waiting.polled(lambda: client.get("/jobs", model=request.model_name)):
            job = next((job for job in jobs or [] if job["event_id"] == request.id), None)
            if job is None:
                show(None, "waits for the trainer")
                continue
            waiting.what = f"job {job['id']} is {job['state']}: {job['message'] or 'no progress yet'}"
            show(job["progress"], f"training {job['state']}{': ' if job['message'] else ''}{job['message'] or ''}")
            if job["state"] == "failed":
                raise CliError(
                    f"training {request.model_name} failed: {job['error']}",
                    f"What it printed: {trainer.at}/jobs/{job['id']} (log_tail)",
                )
            if job["state"] == "done":
                done = job["id"]
                break
    result = client.get(f"/jobs/{done}")["result"]
    version = int(result["model_version"])
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in result["metrics"].items())
    console().print(f"trained {request.model_name} v{version}: {metrics}", markup=False, soft_wrap=True)
    return version


def wait_for_verdict(
    gatekeeper: Address, name: str, version: int, deadline: Deadline, event_id: str | None = None
) -> int | None:
    """Wait for the verdict on a version and print it gate by gate; exit code 1 unless it passed.

    Return the epoch of its promotion, if it was promoted. A version that must prove itself first, or waits for people,
    may take days: where its rollout stands is printed, and not waited for.

    `event_id`: of a ModelRegistered; a verdict that was reached before it is not shown. Raises CliError when that
    event led to no verdict, because the earlier one stands.
    """
    found = waited_for(gatekeeper, name, version, "verdict", deadline.seconds, event_id)
    if found.kept is not None:
        raise CliError(f"{name} {found.kept}", f"gauntlet show {name} {version} shows that verdict.")
    candidate = found.verdict
    for line in verdict_lines(candidate.model_dump(mode="json")):
        console().print(line, soft_wrap=True)
    if not found.ok:
        raise typer.Exit(1)
    if not candidate.epochs:
        _print_rollout_of(ServiceClient(gatekeeper), name, version)
    return max(candidate.epochs, default=None)


def waited_for(
    gatekeeper: Address,
    name: str,
    version: int,
    goal: Literal["verdict", "promotion"],
    timeout: float,
    event_id: str | None,
) -> Waited:
    """Wait as the Python client does, and show what for. Raises CliError; its cause is the client's error."""
    from gauntlet.stack_client import stack_client

    with stack_client(gatekeeper) as client, _progress() as show:
        return client.wait(
            name, version, goal, timeout=timeout, event_id=event_id, progress=lambda text: show(None, text)
        )


def _print_rollout_of(client: ServiceClient, name: str, version: int) -> None:
    """Print where the rollout of a version that passed stands, or which other one it waits for."""
    for rollout in client.get("/rollouts", model_name=name, active="true")["rollouts"]:
        if rollout["challenger_version"] == version:
            said = f"{name} v{version} {standing(rollout)}"
        else:
            said = f"{name} v{version} waits for the end of the rollout of v{rollout['challenger_version']}"
        console().print(f"{said}; gauntlet rollouts {name} --follow shows how it goes on", markup=False, soft_wrap=True)


def follow_rollout(client: ServiceClient, rollout: Mapping[str, Any]) -> None:
    """Print each step of a rollout as it comes, until its end; exit code 1 unless the version is champion then."""
    console().print(headline(rollout), soft_wrap=True)
    waiting = Waiting(Deadline(math.inf), "")
    printed = 0
    with _progress() as show:
        for found in waiting.polled(lambda: client.get(f"/rollouts/{rollout['rollout_id']}")):
            if found is None:
                show(None, "waits for the gatekeeper")
                continue
            lines = list(progress_of(found))
            for line in lines[printed:]:
                console().print(line, markup=False, soft_wrap=True)
            printed = max(printed, len(lines))
            if found["result"]:
                break
            if notes().is_terminal:  # the figures change every second
                show(None, f"{stage_name(found)}: {found['waits_for']}")
    console().print(headline(found), soft_wrap=True)
    if found["result"] != "promoted":
        raise typer.Exit(1)


def wait_until_served(serving: Address, name: str, epoch: int, deadline: Deadline) -> None:
    """Wait until a replica predicts with this promotion, or a later one, and print where.

    A replica that cannot be reached is only mentioned: serving may be elsewhere. Raises CliError when it cannot load
    the version.
    """
    client = ServiceClient(serving)
    try:
        client.get("/models")
    except ServiceError:
        pass
    except CliError:
        console().print(f"[dim]serving at {escape(serving.at)} does not answer; --serving names another[/]")
        return
    waiting = Waiting(deadline, f"{serving.at} does not predict with epoch {epoch} of {name} yet")
    with _progress() as show:
        for models in waiting.polled(lambda: client.get("/models")["models"]):
            about = next((each for each in models or () if each["model_name"] == name), None)
            if about is not None and (about["epoch"] or 0) >= epoch:
                break
            failure = about["last_failure"] if about is not None else None
            if failure is not None and failure["epoch"] == epoch and not failure["will_retry"]:
                raise CliError(
                    f"{serving.at} cannot load {name} v{failure['model_version']}: {failure['reason']}",
                    f"gauntlet models shows what each replica predicts with; gauntlet rollback {name} goes back.",
                )
            show(None, f"waits for {serving.at}")
    console().print(f"in service: {serving.at}/models/{name}/predict", markup=False, soft_wrap=True)


def wait_for_benchmark(
    drift: ServiceClient, gatekeeper: ServiceClient, name: str, benchmark_id: str, deadline: Deadline
) -> dict[str, Any]:
    """Return a benchmark once it is completed. Raises CliError when its rows could not be stored."""
    waiting = Waiting(deadline, f"the rows of benchmark {benchmark_id} are not stored yet")
    with _progress() as show:
        for found in waiting.polled(lambda: gatekeeper.get(f"/benchmarks/{benchmark_id}")):
            if found is not None:
                waiting.what = f"benchmark {benchmark_id} is {found['state']}"
                show(None, waiting.what)
                if found["completed"] is not None:
                    return dict(found)
                continue
            show(None, waiting.what)
            stored = drift.get(f"/models/{name}/benchmark")
            if benchmark_id not in (stored["running"], stored["newest"]):
                raise CliError(f"benchmark {benchmark_id} did not take place: {stored['waits'] or stored['reason']}")
    raise AssertionError("polled until the deadline")


class Waiting:
    """What to wait for, and how long: until the deadline, or until a service is silent for too long."""

    def __init__(self, deadline: Deadline, what: str) -> None:
        self._deadline = deadline
        self.what = what

    def polled(self, ask: Callable[[], Any]) -> Iterator[Any]:
        """Yield responses until the caller stops; None while the service is unavailable or has no such object."""
        heard = time.monotonic()
        while True:
            answer = None
            try:
                answer = ask()
                heard = time.monotonic()
            except CliError as error:
                status = error.status if isinstance(error, ServiceError) else None
                if status is not None and status < 500 and status != 404:
                    raise
                if status == 404:
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE_SECONDS:
                    raise
            yield answer
            if self._deadline.passed():
                raise CliError(
                    f"no end within {self._deadline.seconds:g} s: {self.what}",
                    "What was published is kept and goes on; `gauntlet candidates` shows how. --timeout waits longer.",
                )
            time.sleep(POLL_SECONDS)


@contextmanager
def _progress() -> Iterator[Callable[[float | None, str], None]]:
    """Show a bar on a terminal; print a line per change in a log."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    terminal = notes().is_terminal
    with Progress(*columns, console=notes(), transient=True, disable=not terminal) as progress:
        task = progress.add_task("", total=None)
        said = ""

        def show(share: float | None, text: str) -> None:
            nonlocal said
            if not terminal and text != said:
                notes().print(text, markup=False, soft_wrap=True)
            said = text
            if share is None:
                progress.update(task, description=text)
            else:
                progress.update(task, total=1.0, completed=share, description=text)

        yield show
