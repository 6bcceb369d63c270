"""What tests of the console's pages share: a gatekeeper with tokens, and what people do by keyboard."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from support.gatekeepers import Gatekeepers
from support.waiting import eventually

if TYPE_CHECKING:
    from fastapi import FastAPI
    from playwright.sync_api import Page


@dataclass(frozen=True)
class Secured:
    """A gatekeeper with AUTH=tokens. `tokens`: by role, for all models; the subject of each is the role's name."""

    service: Gatekeepers
    tokens: Mapping[str, str]

    def headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}


@dataclass(frozen=True)
class World:
    """Models in the states that screens show; see the fixture `world`.

    `model` has champion v2, which was v1 before, and `version`, which failed; `waiting` waits for people; `trying` has
    champion v1 and tries v2.
    """

    model: str
    version: int
    waiting: str
    trying: str

    def path(self, pattern: str) -> str:
        return pattern.format(**asdict(self))


def waits_for_people(service: Gatekeepers, model_name: str) -> dict[str, Any]:
    """The rollout of a model, once it waits for people."""

    def found() -> Any:
        running = service.get(f"/rollouts?model_name={model_name}&active=true")["rollouts"]
        return running[0] if running and running[0]["stage"] == "approval" else None

    waiting: dict[str, Any] = eventually(found)
    return waiting


def reach(page: Page, selector: str) -> None:
    """Press Tab until the focus is there, as somebody without a mouse does; a focus that nobody sees is no focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
            assert width != "0px", f"{selector} has the focus and does not show it"
            return
    raise AssertionError(f"{selector} is not reached by Tab on {page.url}: {page.inner_text('main')}")


def fill_in(page: Page, reason: str, actor: str | None = "ada") -> None:
    """Fill in the form and send it, by keyboard only."""
    reach(page, "#reason")
    page.keyboard.type(reason)
    if actor is not None:
        reach(page, "#actor")
        page.keyboard.type(actor)
    reach(page, "form.decide button")
    with page.expect_navigation():
        page.keyboard.press("Enter")


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The routes of a service that is built and whose parts do not run; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app.state.entry, lifespan="off", log_config=None))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            eventually(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
