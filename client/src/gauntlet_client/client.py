"""`Gauntlet`: a stack from a Python program, one call after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from contracts import Dataset, Envelope, Event, ModelRegistered
from gauntlet_client import calls, operations, waiting
from gauntlet_client.addresses import find
from gauntlet_client.drivers import SyncDriver
from gauntlet_client.exchange import ask
from gauntlet_client.reading import options, wanted
from gauntlet_client.results import (
    Candidate,
    Feedback,
    Fleet,
    Freeze,
    Model,
    Predictions,
    Promotion,
    Rollout,
    Verdict,
    Waited,
)
from gauntlet_client.steps import Call
from gauntlet_client.subscription import Subscription

E = TypeVar("E", bound=Event)
T = TypeVar("T")

HANDLING_SECONDS = 300.0
TIMEOUT = 30.0


class Gauntlet:
    """A stack: its models, decisions, predictions and events. A context manager; `close()` ends its connections.

    Each address is taken from the argument, else from its variable (`GATEKEEPER_URL`, `SERVING_URL`, `STAGING_URL`,
    `TRAINER_URL`, `DRIFT_URL`, `MLFLOW_TRACKING_URI`, `KAFKA_BOOTSTRAP_SERVERS`), else from the stack that runs in
    `data_dir` (`GAUNTLET_DATA_DIR`, by default `.gauntlet`), else it is the default port on this machine. `token`:
    `GAUNTLET_TOKEN`. How Kafka is secured is in the variables that services have (`KAFKA_SECURITY_PROTOCOL`, …).

    `timeout`: seconds for one request. A request that is safe to repeat is repeated when the connection breaks; any
    other only if it was not sent. Every method raises Unreachable when there is no service, and ServiceError (NotFound,
    Conflict, AccessDenied, Invalid, Unavailable) for its refusal. One object is for one thread.
    """

    def __init__(
        self,
        gatekeeper: str | None = None,
        *,
        serving: str | None = None,
        staging: str | None = None,
        trainer: str | None = None,
        drift: str | None = None,
        mlflow: str | None = None,
        kafka: str | None = None,
        token: str | None = None,
        data_dir: str | Path | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        given = {"gatekeeper": gatekeeper, "serving": serving, "staging": staging, "trainer": trainer}
        self.addresses = find({**given, "drift": drift, "mlflow": mlflow}, kafka, token, data_dir)
        self._driver = SyncDriver(self.addresses, timeout)
        self._subscriptions: list[Subscription[Any]] = []

    def register(
        self,
        name: str,
        version: int,
        *,
        reason: str | None = None,
        again: bool = False,
        reference: Dataset | None = None,
        actor: str | None = None,
    ) -> Envelope[ModelRegistered]:
        """Have a version that is in MLflow judged. The result is the event; its `id` is what `wait` takes.

        `again`: although nothing has changed since its verdict; needs a reason. `reference`: rows that production is
        compared with for drift, by address and digest. Who registers a version (`actor`) cannot approve it.
        """
        steps = operations.register(name, version, reason, again, reference, actor, self._has_token)
        return self._driver.run(steps)

    def try_version(
        self,
        name: str,
        version: int,
        *,
        policy: str | os.PathLike[str] | None = None,
        golden: str | os.PathLike[str] | None = None,
        label: str | None = None,
        entity: str | None = None,
        event_time: str | None = None,
    ) -> dict[str, Any]:
        """Return the verdict that a version would get, and what is `missing`; nothing is recorded or published.

        Runs the command `gauntlet try`, which must be installed: the gates are not part of this client.
        """
        given = {"policy": policy, "golden": golden, "label": label, "entity": entity, "event-time": event_time}
        return self._driver.run(operations.try_version(name, version, self.addresses, given))

    def wait(
        self,
        name: str,
        version: int,
        for_: waiting.Goal = "verdict",
        *,
        timeout: float = 900.0,
        event_id: str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Waited:
        """Wait for the verdict on a version, or until it is champion or cannot become it any more.

        It need not be registered yet. `event_id`: of its registration; earlier verdicts do not count then. `progress`
        is called with what it waits for, when that changes. Raises WaitTimeout.
        """
        return self._driver.run(waiting.wait(name, version, for_, timeout, event_id, progress))

    def promote(self, name: str, version: int, *, reason: str, actor: str | None = None) -> Promotion:
        """Make a version champion: an approval if it passed its gates, an override if it did not."""
        return self._driver.run(operations.promote(name, version, reason, actor, self._has_token))

    def rollback(self, name: str, *, reason: str, to: int | None = None, actor: str | None = None) -> Promotion:
        """Make an earlier champion champion again: version `to`, or the previous one."""
        return self._driver.run(operations.rollback(name, to, reason, actor, self._has_token))

    def freeze(self, name: str, *, reason: str, actor: str | None = None) -> Freeze:
        """Stop all promotions by gates; a rollback is still possible."""
        return self._driver.run(operations.freezing(name, "freeze", reason, actor, self._has_token))

    def unfreeze(self, name: str, *, reason: str, actor: str | None = None) -> Freeze:
        """Let gates promote versions again."""
        return self._driver.run(operations.freezing(name, "unfreeze", reason, actor, self._has_token))

    def approve(self, name: str, *, reason: str, digest: str | None = None, actor: str | None = None) -> Rollout:
        """Agree that the version whose rollout waits for people becomes champion.

        `digest`: the `verdict_digest` that was looked at; Conflict if the evidence has changed since. Default: now's.
        """
        return self._driver.run(operations.deciding(name, "approve", reason, digest, actor, self._has_token))

    def refuse(self, name: str, *, reason: str, digest: str | None = None, actor: str | None = None) -> Rollout:
        """Refuse the version whose rollout waits for people: the champion stays."""
        return self._driver.run(operations.deciding(name, "refuse", reason, digest, actor, self._has_token))

    def abort(self, name: str, *, reason: str, actor: str | None = None) -> Rollout:
        """End the rollout that runs: the champion stays."""
        return self._driver.run(operations.deciding(name, "abort", reason, None, actor, self._has_token))

    def predict(self, name: str, rows: Any, *, staging: bool = False, timeout: float | None = None) -> Predictions:
        """Predict with the champion; with `staging`, with what the staging replica has loaded.

        `rows`: a list of dicts, a dict of columns, a pandas or polars frame, or a numpy array for a model that takes a
        matrix. A missing value (None, NaN, NaT) is null. Each row counts as a prediction of production.
        """
        return self._run(calls.predict(name, rows, staging, timeout))

    def feedback(self, name: str, items: Sequence[Mapping[str, Any]]) -> Feedback:
        """Report what became of predictions, once Kafka has all items.

        An item: `label`, and `request_id` with `row`, or `entity_id`; also `event_time`. One that arrived before counts
        once.
        """
        return self._run(calls.feedback(name, items))

    def models(self) -> list[Model]:
        """Return every model that has a policy or a registered version, and that the token may read."""
        return self._run(calls.models())

    def model(self, name: str) -> Model:
        """Return one model: champion, challenger, whether it is frozen, replicas."""
        return self._run(calls.model(name))

    def candidates(self, name: str, *, limit: int = 100) -> list[Candidate]:
        """Return the registered versions of a model, the newest first."""
        return self._run(calls.candidates(name, limit))

    def verdict(self, name: str, version: int) -> Verdict:
        """Return a version with the verdict of each gate, and what it rests on."""
        return self._run(calls.verdict(name, version))

    def promotions(self, name: str, *, limit: int = 100) -> list[Promotion]:
        """Return the promotions of a model, the newest first."""
        return self._run(calls.promotions(name, limit))

    def rollouts(self, name: str | None = None, *, active: bool | None = None, limit: int = 100) -> list[Rollout]:
        """Return rollouts and watches, the newest first: all, only those that run, or only those that ended."""
        return self._run(calls.rollouts(name, active, limit))

    def fleet(self, name: str) -> Fleet:
        """Return the serving replicas of a model: the version that each should have, and has."""
        return self._run(calls.fleet(name))

    @overload
    def events(
        self,
        *types: type[E],
        group: str,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> Subscription[E]: ...
    @overload
    def events(
        self,
        *types: str,
        group: str,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> Subscription[Any]: ...
    def events(
        self,
        *types: type[Event] | str,
        group: str,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> Subscription[Any]:
        """Iterate over events of these types, each handled at least once: committed after the loop's body ended.

        An exception or a kill in the body commits nothing, and the event comes again. `types`: names such as
        "Promoted", or classes of `contracts`. `group`: programs with the same one share the events. `start`: where a
        new group begins, earliest or latest. `timeout`: seconds without an event after which the loop ends.
        `longest_handling`: seconds that a body may take before another member of the group gets the event.
        """
        return self._subscribed(types, group, model, start, timeout, longest_handling)

    def handle(
        self,
        handler: Callable[[Envelope[Any]], object],
        *types: type[Event] | str,
        group: str,
        dead_letters: bool = True,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> None:
        """Call `handler` with each event, as the services do: Transient is tried again until it succeeds, Permanent
        and ValueError not at all, any other exception up to five times.

        What is given up on becomes a dead letter of `group` (`gauntlet dead-letters list --service GROUP`), which can
        be replayed; without `dead_letters` the exception is raised, and nothing is committed.
        """
        made = self._subscribed(types, group, model, start, timeout, longest_handling)
        with made as found:
            found.handle(handler, dead_letters)

    def close(self) -> None:
        """End all connections. An event that is being handled is not committed."""
        try:
            while self._subscriptions:
                self._subscriptions.pop().close()
        finally:
            self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _has_token(self) -> bool:
        return self.addresses.token is not None

    def _run(self, call: Call[T]) -> T:
        return self._driver.run(ask(call))

    def _subscribed(
        self,
        types: Sequence[type[Event] | str],
        group: str,
        model: str | None,
        start: str,
        timeout: float | None,
        longest_handling: float,
    ) -> Subscription[Any]:
        connection = self.addresses.kafka
        what = wanted(types, model, connection.topic_prefix)
        how = options(group, connection.topic_prefix, start, longest_handling)
        made: Subscription[Any] = Subscription(connection, what, how, timeout)
        self._subscriptions.append(made)
        return made
