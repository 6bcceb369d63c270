"""The base of every service: bus, outbox, inbox, database, jobs, telemetry."""

import os

# MLflow reads it on import, which happens after this. No process sends usage data; and MLflow's telemetry thread
# changes the environment while other threads may be reading it (urllib looks for proxies in it).
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
