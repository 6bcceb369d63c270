"""The process that draws: reads the rows of a window and of its reference, and renders Evidently's page of them.

`python -m drift.reports.drawing_process SOCKET BYTES LEVEL FORMAT`: a descriptor, the most memory, and how it logs. A
message in either direction is JSON (`chassis.processes.messages`): an `Order`, and a drawing or why there is none. It
ends when the service closes the socket, or ends in whatever way.

Only here is Evidently imported: it takes seconds and 200 MB, and raises for some columns.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from chassis.database import Database
from chassis.errors import Transient
from chassis.processes.messages import requests_of, send
from chassis.registry import Registry
from chassis.telemetry import configure_logging
from contracts import FeatureScore
from drift.database import store, window_rows
from drift.database.tables import VersionRow
from drift.reports.drawer import Order
from drift.reports.evidently_report import render
from drift.reports.page import Drawing
from drift.scoring.basis import basis_of
from drift.scoring.references import References


def answer(order: Order) -> dict[str, Any]:
    """Return `page` and `note`; or `error`, and whether it is `transient`."""
    try:
        drawing = _draw(order)
    except Transient as error:
        return {"error": str(error), "transient": True}
    except Exception as error:  # whatever a library raises; the next window may be drawn
        return {"error": f"{type(error).__name__}: {error}"[:1000], "transient": False}
    return {"page": drawing.page, "note": drawing.note}


def _draw(order: Order) -> Drawing:
    with _database(order["database"]).reading() as session:
        window = store.window_by_id(session, order["window"])
        version = session.get(VersionRow, (window.model_name, window.model_version)) if window else None
        basis = basis_of(version) if version else None
        if window is None or basis is None or window.pruned:
            return Drawing(None, "Not drawn: its rows were deleted meanwhile.")
        reference = _references(order["mlflow"], order["references"]).frame(basis.dataset)
        reference = reference[[name for name in reference.columns if name not in basis.leave_out]]
        current = window_rows.features(session, window, [name for name in reference.columns if name != order["entity"]])
        scores = tuple(map(FeatureScore.model_validate, window.scores))
    return render(reference, current, scores, drift_share=order["drift_share"], most_rows=order["most_rows"])


@cache
def _database(url: str) -> Database:
    return Database(url)


@cache
def _references(tracking_uri: str, folder: str) -> References:
    return References(Registry(tracking_uri), Path(folder))


def main(handle: int, most_bytes: int) -> None:
    with suppress(ValueError, OSError):  # macOS has no such limit, and a stricter one may be set already
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    service = socket.socket(fileno=handle)
    orders = requests_of(service)
    while True:
        send(service, json.dumps(answer(json.loads(orders.get()))).encode())


if __name__ == "__main__":
    configure_logging("drift", sys.argv[3], sys.argv[4])
    main(int(sys.argv[1]), int(sys.argv[2]))
