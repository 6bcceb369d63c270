"""An operation as data: a generator yields what is to be done outside, and is sent what came of it.

So requests, retries, waiting and decisions are written once, for the synchronous and the asynchronous client: a
driver (`sync_driver`, `async_driver`) does the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from contracts import Envelope

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request to `part`, and how its response is read.

    `safe`: to send it twice does no harm, so it is repeated when the connection breaks. `busy`: the service that
    responds 503 has done nothing yet.
    """

    part: str
    method: str
    path: str
    read: Callable[[Any], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    safe: bool = False
    busy: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Send:
    """Send a request once. Its result is a Response; raises Unreachable."""

    call: Call[Any]


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Publish:
    """Publish an event, and wait until all replicas of the broker have it. Raises Unreachable or ClientError."""

    envelope: Envelope[Any]


@dataclass(frozen=True)
class Run:
    """Run a program to its end, in this environment and these variables. Its result is (exit code, output, errors)."""

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


Step = Send | Pause | Publish | Run
Steps = Generator[Step, Any, T]
