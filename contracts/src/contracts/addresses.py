"""Where the services are: the variables that say so, and the ports of a stack on one machine."""

from __future__ import annotations

# Ports of a stack without an offset; the same ones docker-compose.yml publishes.
DEFAULT_PORTS: dict[str, int] = {
    "kafka": 9092,
    "mlflow": 5000,
    "trainer": 8030,
    "gatekeeper": 8010,
    "drift": 8020,
    "serving": 8001,
    "staging": 8000,
}
URL_VARIABLES: dict[str, str] = {
    "trainer": "TRAINER_URL",
    "gatekeeper": "GATEKEEPER_URL",
    "drift": "DRIFT_URL",
    "serving": "SERVING_URL",
    "staging": "STAGING_URL",
}
STACK_FILE = "stack.json"
"""In the data directory: the parts of the stack that runs there."""
