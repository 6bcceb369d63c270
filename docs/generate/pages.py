"""All generated pages by their file's name."""

from __future__ import annotations

from pathlib import Path

from docs.generate.commands import commands_page
from docs.generate.events import events_page
from docs.generate.http_apis import http_apis_page
from docs.generate.metrics import metrics_page
from docs.generate.policy_keys import policy_keys_page
from docs.generate.python_client import python_client_page
from docs.generate.settings import settings_page

from chassis.asyncapi import build_service
from gauntlet.cli import app

FOLDER = Path(__file__).parents[1] / "reference"
SERVICES = ("trainer", "gatekeeper", "serving", "drift")


def pages() -> dict[str, str]:
    """Build each service, without starting it, and describe everything that the reference holds."""
    built = {service: build_service(service) for service in SERVICES}
    return {
        "settings.md": settings_page(SERVICES),
        "http-apis.md": http_apis_page(built),
        "events.md": events_page({**built, "serving (staging)": build_service("serving", role="staging")}),
        "policy-keys.md": policy_keys_page(),
        "metrics.md": metrics_page(SERVICES),
        "commands.md": commands_page(app),
        "python-client.md": python_client_page(),
    }
