"""The pictures of verdicts, made beside the request: evidence may have to come from MLflow, which may be away."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from chassis.errors import Transient
from chassis.telemetry import get_logger
from gatekeeper.read_models import CandidateView
from gatekeeper.replay import NoEvidence, Replayer
from gatekeeper.report.pictures import Pictures, pictures_of

SECONDS = 2.0
"""A page waits no longer for pictures; they are made on, for whoever looks again."""
AT_ONCE = 2
"""Verdicts whose pictures are being made."""
KEPT = 64
"""Verdicts whose pictures are kept: a hundred kilobytes each, at most."""

Key = tuple[str, int]

log = get_logger(__name__)


class VerdictPictures:
    """Makes pictures in threads that end with the process, two at a time, and keeps the last ones."""

    def __init__(self, replayer: Replayer, seconds: float = SECONDS) -> None:
        self._replayer = replayer
        self._seconds = seconds
        self._lock = threading.Lock()
        self._found: OrderedDict[Key, Future[Pictures]] = OrderedDict()

    def of(self, candidate: CandidateView) -> Pictures:
        """Return the pictures of a judged version, or the reason why there are none."""
        key = candidate.id, candidate.judgement
        with self._lock:
            future = self._found.get(key)
            if future is None:
                if sum(not each.done() for each in self._found.values()) >= AT_ONCE:
                    return Pictures(notes=("Pictures of other verdicts are being made.",), unfinished=True)
                future = self._found[key] = Future()
                arguments = (key, future, candidate.evidence, candidate.model_version)
                threading.Thread(target=self._make, args=arguments, name="pictures", daemon=True).start()
            self._found.move_to_end(key)
            while len(self._found) > KEPT:
                self._found.popitem(last=False)
        try:
            return future.result(self._seconds)
        except TimeoutError:
            return Pictures(notes=("The golden rows and predictions are still being loaded.",), unfinished=True)

    def _make(self, key: Key, future: Future[Pictures], evidence: Mapping[str, Any], model_version: int) -> None:
        try:
            future.set_result(pictures_of(*self._replayer.measured(evidence, model_version)))
            return
        except NoEvidence as error:
            said = f"The evidence does not allow it: {error}."
        except Transient as error:
            said = f"Golden rows or predictions cannot be loaded now: {error}."
        except Exception:  # whatever is in old evidence, the verdict is shown
            log.exception("no pictures of a verdict", candidate=key[0])
            said = "They could not be drawn; the log of the gatekeeper says why."
        with self._lock:
            self._found.pop(key, None)  # it may be otherwise when somebody looks again
        future.set_result(Pictures(notes=(said,)))
