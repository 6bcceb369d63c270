"""A replica and a real `mlflow models serve` of the same model, side by side."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from contracts import OutputFormat
from support.bus_client import BusClient
from support.processes import end, free_port, spawn
from support.replica import Replica
from support.versions import Uploads
from support.waiting import eventually


class Both:
    """The two servers of one model."""

    def __init__(self, ours: httpx.Client, model_name: str, theirs: httpx.Client) -> None:
        self.ours, self.model_name, self.theirs = ours, model_name, theirs

    def ask(self, body: bytes, content_type: str | None) -> tuple[httpx.Response, httpx.Response]:
        headers = {"Content-Type": content_type} if content_type else {}
        return (
            self.ours.post(f"/models/{self.model_name}/invocations", content=body, headers=headers),
            self.theirs.post("/invocations", content=body, headers=headers),
        )


@contextmanager
def both_serving(
    production: Replica,
    bus: BusClient,
    uploads: Uploads,
    model_name: str,
    folder: Path,
    digest: str,
    output: OutputFormat | None = None,
) -> Iterator[Both]:
    """Serve the model in `folder`/model with both; `output`: how its gates read it."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "model"), "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it runs uvicorn by its name
    serve = spawn([*command, "--env-manager", "local", "--workers", "1"], {"PATH": path}, folder / "serve.log")
    try:
        version = dataclasses.replace(uploads.folder(model_name, 1, folder / "model", digest), output=output)
        bus.publish(version.promoted(1))
        closed = httpx.Limits(max_keepalive_connections=0)  # after a 500 it closes the connection
        theirs = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=closed)
        eventually(lambda: answers(theirs) or serve.poll() is not None, timeout=120)
        assert serve.poll() is None, (folder / "serve.log").read_text()[-2000:]
        eventually(lambda: production.answers_with(model_name, 1, 1))
        yield Both(production.client, model_name, theirs)
    finally:
        end(serve)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ping").status_code == 200
    except httpx.TransportError:
        return False
