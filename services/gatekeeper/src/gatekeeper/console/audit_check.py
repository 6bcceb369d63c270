"""The verification of the audit trail's chain, beside the request: of a long trail it takes a while."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.database import Database
from chassis.errors import Transient
from chassis.telemetry import get_logger
from gatekeeper.database import audit_trail
from gatekeeper.policy.hash_chain import Proof

SECONDS = 2.0
"""A page waits no longer for it."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Checked:
    """The last verification by this gatekeeper. `proof` None: it failed, by `problem`."""

    began_at: datetime
    seconds: float
    proof: Proof | None = None
    problem: str | None = None


class AuditCheck:
    """One verification at a time, in a thread that ends with the process; its result is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._running: Future[None] | None = None
        self.last: Checked | None = None

    @property
    def runs(self) -> bool:
        return self._running is not None

    def begin(self, seconds: float = SECONDS) -> None:
        """Begin one unless one is running, and wait for its end for so long at most."""
        with self._lock:
            if (done := self._running) is None:
                done = self._running = Future()
                threading.Thread(target=self._run, args=(done,), name="audit check", daemon=True).start()
        try:
            done.result(seconds)
        except TimeoutError:
            return

    def _run(self, done: Future[None]) -> None:
        began_at, began = datetime.now(UTC), time.monotonic()
        proof, problem = None, None
        try:
            with self._database.reading() as session:
                proof = audit_trail.verified(session)
        except Transient as error:
            problem = str(error)
        except Exception:
            log.exception("the audit trail was not verified")
            problem = "the log of the gatekeeper says why"
        self.last = Checked(began_at, time.monotonic() - began, proof, problem)
        self._running = None
        done.set_result(None)
