"""Users: rows sent to the prediction endpoint continuously, labels after each response, everything counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from gauntlet.demo.checks import StepFailed
from gauntlet.demo.feed import Feed, Row
from gauntlet.demo.truth import Truth

REQUEST_SECONDS = 10.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Pace:
    """Rows per request, and most requests per second (None: as fast as responses arrive)."""

    rows: int
    per_second: float | None


BURST = Pace(rows=100, per_second=None)
STEADY = Pace(rows=1, per_second=15)  # on two cores that also train and judge
BUSY = Pace(rows=20, per_second=20)
"""While a version is tried: many aircraft in a short time."""


@dataclass
class Tally:
    """Results of the requests, in order of their responses."""

    requests: int = 0
    rows: int = 0
    failures: list[str] = field(default_factory=list)
    rows_by_version: dict[int, int] = field(default_factory=dict)
    switches: list[tuple[int, int, datetime]] = field(default_factory=list)
    """From which version to which, and when the first response of the new one arrived."""
    version: int | None = None
    expected: list[str] = field(default_factory=list)
    """Failures while a version was about to fail on purpose."""

    def answered(self, versions: Sequence[int], at: datetime) -> None:
        """Count a response; `versions`: of each row. One of several versions is no switch to any of them."""
        self.requests += 1
        self.rows += len(versions)
        for version in versions:
            self.rows_by_version[version] = self.rows_by_version.get(version, 0) + 1
        if len(set(versions)) == 1:
            if self.version is not None and versions[0] != self.version:
                self.switches.append((self.version, versions[0], at))
            self.version = versions[0]

    def failed(self, reason: str, *, expected: bool) -> None:
        self.requests += 1
        (self.expected if expected else self.failures).append(reason)


class Traffic:
    """A thread of requests. `pace` may be changed while it runs; `since()` gives what was counted after a mark."""

    def __init__(
        self, feed: Feed, url: str, model_name: str, truth: Truth, headers: Mapping[str, str] | None = None
    ) -> None:
        self.pace = BURST
        self.change: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
        """How the world has changed: applied to the rows before they are sent."""
        self.failures_expected = False
        self._feed = feed
        self._url = f"{url}/models/{model_name}/predict"
        self._headers = headers or {}
        self._truth = truth
        self._tally = Tally()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._problem: str | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(REQUEST_SECONDS + 1)

    @property
    def requests(self) -> int:
        with self._changed:
            return self._tally.requests

    @property
    def rows(self) -> int:
        with self._changed:
            return self._tally.rows

    @property
    def failures(self) -> Sequence[str]:
        with self._changed:
            return tuple(self._tally.failures)

    @property
    def expected_failures(self) -> Sequence[str]:
        with self._changed:
            return tuple(self._tally.expected)

    @property
    def rows_by_version(self) -> dict[int, int]:
        with self._changed:
            return dict(self._tally.rows_by_version)

    def await_rows(self, rows: int, seconds: float) -> None:
        """Wait until so many rows were predicted since the start. Raises StepFailed."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._tally.rows < rows:
                if self._problem:
                    raise StepFailed(f"the traffic ended: {self._problem}")
                if not self._changed.wait(deadline - time.monotonic()):
                    answered, failures = self._tally.rows, self._tally.failures
                    last = f"; the last request failed: {failures[-1]}" if failures else ""
                    raise StepFailed(f"{answered:,} of {rows:,} rows were answered within {seconds:g} s{last}")

    def switches(self, after: datetime) -> list[tuple[int, int]]:
        """Return the changes of version seen from that time on."""
        with self._changed:
            return [(old, new) for old, new, at in self._tally.switches if at >= after]

    def first_answer(self, version: int, after: datetime, seconds: float) -> datetime:
        """Return when the first response of a change to `version` arrived, after that time. Raises StepFailed."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for _, new, at in self._tally.switches:
                    if new == version and at >= after:
                        return at
                if self._problem:
                    raise StepFailed(f"the traffic ended: {self._problem}")
                if not self._changed.wait(deadline - time.monotonic()):
                    raise StepFailed(f"v{version} did not answer within {seconds:g} s; v{self._tally.version} does")

    def await_only(self, version: int, responses: int, seconds: float) -> None:
        """Wait until so many responses in a row are of this version alone. Raises StepFailed."""
        self.await_rows(self.rows + 1, seconds)
        deadline, others = time.monotonic() + seconds, self._others(version)
        since = self.requests
        while self.requests < since + responses:
            if self._others(version) != others:
                others, since = self._others(version), self.requests
            if time.monotonic() > deadline:
                raise StepFailed(f"v{version} was not alone in its answers within {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def _others(self, version: int) -> int:
        return sum(rows for other, rows in self.rows_by_version.items() if other != version)

    def _run(self) -> None:
        try:
            with httpx.Client(timeout=REQUEST_SECONDS, headers=self._headers, trust_env=False) as client:
                while not self._stopping.is_set():
                    began = time.monotonic()
                    pace = self.pace
                    self._send(client, self._feed.take(pace.rows))
                    if pace.per_second is not None:
                        self._stopping.wait(max(0.0, 1 / pace.per_second - (time.monotonic() - began)))
        except StepFailed as failure:
            with self._changed:
                self._problem = str(failure)
                self._changed.notify_all()

    def _send(self, client: httpx.Client, rows: Sequence[Row]) -> None:
        change = self.change
        sent = [row.sent if change is None else change(row.sent) for row in rows]
        try:
            answer = client.post(self._url, json={"rows": sent})
            arrived = datetime.now(UTC)
            body = read_answer(answer)
        except (httpx.HTTPError, StepFailed) as error:
            with self._changed:
                self._tally.failed(str(error) or type(error).__name__, expected=self.failures_expected)
                self._changed.notify_all()
            return
        with self._changed:
            self._tally.answered(versions_of(body), arrived)
            self._changed.notify_all()
        self._truth.follows(body["request_id"], [row.label for row in rows])


def versions_of(body: Mapping[str, Any]) -> list[int]:
    """Return the version that predicted each row of a response."""
    return [prediction.get("model_version", body["model_version"]) for prediction in body["predictions"]]


def read_answer(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of a response. Raises StepFailed with the service's message for a refusal."""
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        raise StepFailed(f"{answer.url} answered {answer.status_code} with no JSON: {answer.text[:80]!r}") from None
    if answer.status_code != httpx.codes.OK:
        raise StepFailed(f"{answer.url} answered {answer.status_code}: {body.get('detail') or body.get('title')}")
    return body


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `condition` holds. Raises StepFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise StepFailed(f"{what} did not happen within {seconds:g} s")
        time.sleep(POLL_SECONDS)
