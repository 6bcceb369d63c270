"""What every service stands on: bus, outbox, inbox, database, jobs, telemetry."""

import os

# MLflow reads it when it is imported, which is after this. Nothing leaves a process that was not asked for; and its
# telemetry thread changes the environment under whoever reads it at the time (urllib looks for proxies in it).
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
