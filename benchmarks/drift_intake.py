"""One process of `drift_cost`: drift's handlers on its topics, without the rest of the service, until its input ends.

`python drift_intake.py SERVERS PREFIX DATABASE_URL FOLDER`, with the interpreter of the build that is measured: it may
be an older one. Prints how many rows and labels were counted.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from pathlib import Path

from prometheus_client import REGISTRY

from chassis.bus import Bus
from chassis.database import Database
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.policies import load_policy
from contracts import GroundTruthReceived, PredictionMade
from drift.handlers import Handlers
from drift.policies import DriftPolicies
from drift.rollouts.measures import Measures
from drift.rollouts.rollouts import Rollouts
from drift.settings import Settings


async def run(servers: str, prefix: str, url: str, folder: str) -> None:
    database = Database(url)
    database.migrate("drift")
    settings = Settings(_env_file=None, kafka_bootstrap_servers=servers, topic_prefix=prefix)
    jobs, policies = (
        Jobs(database, owner="benchmark"),
        DriftPolicies({"flights": load_policy(Path(folder) / "flights.yaml")}),
    )
    handlers = Handlers(jobs, policies, settings, Rollouts(jobs, policies, Measures(Outbox("drift"))))
    bus = Bus(settings, service="drift", database=database)
    if "read" in inspect.signature(bus.on_batch).parameters:
        from drift.ingestion import labels, predictions

        bus.on_batch(PredictionMade, handlers.on_predictions, read=predictions.read, gather=predictions.gather)
        bus.on_batch(GroundTruthReceived, handlers.on_ground_truth, read=labels.read, gather=labels.gather)
    else:
        bus.on_batch(PredictionMade, handlers.on_predictions)
        bus.on_batch(GroundTruthReceived, handlers.on_ground_truth)
    await bus.start()
    await asyncio.to_thread(sys.stdin.read)
    await bus.stop()
    for name in ("drift_predictions_total", "drift_labels_total"):
        print(sum(item.value for metric in REGISTRY.collect() for item in metric.samples if item.name == name))


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
