"""A message that a service gave up on, and the form that has it handled again."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from chassis.auth.access import Caller
from chassis.auth.roles import Action, roles_for
from chassis.auth.routes import CallerOf, Scope, allowed
from chassis.http import Problem
from contracts.dead_letters import DeadLetter
from gatekeeper.api.models import Decision, conflicts
from gatekeeper.console.forms import actor_of, validated
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.database import dead_letters, queries
from gatekeeper.database.dead_letters import DeadLetterRow
from gatekeeper.operations.letters import read_letter, replay

PATH = "/console/operations/dead-letter"
SHOWN = 20_000
"""Characters of a message that the page shows."""


class Filled(BaseModel):
    """The form as it was sent."""

    id: str
    reason: str = ""
    actor: str | None = None


def dead_letter_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get(PATH, openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse)
    async def show(request: Request, caller: CallerOf, id: str) -> HTMLResponse:
        """A dead letter: the error, the message, and what a replay will do."""
        return await _shown(request, caller, id, None, Filled(id=id))

    @router.post(PATH, openapi_extra=allowed(Action.OPERATE, Scope.EACH), response_class=RedirectResponse)
    async def replay_it(request: Request, caller: CallerOf, form: Annotated[Filled, Form()]) -> Response:
        """Publish the message again, take the letter away, and go to the operations page, which says so."""
        row, letter = await _found(caller, form.id)
        caller.require(Action.OPERATE, row.model_name)
        try:
            wanted = validated(Decision, {"actor": form.actor or None, "reason": form.reason}, "not replayed")
            actor = actor_of(caller, wanted, "not replayed")
            with conflicts("not replayed"):
                await replay(site.settings, letter)
        except Problem as problem:
            return await _shown(request, caller, form.id, problem, form)
        await run_in_threadpool(_note, row, actor, wanted.reason)
        return RedirectResponse(f"/console/operations?replayed={quote(row.id, safe='')}", 303)

    async def _shown(
        request: Request, caller: Caller, letter_id: str, problem: Problem | None, form: Filled
    ) -> HTMLResponse:
        row, letter = await _found(caller, letter_id)
        return await run_in_threadpool(
            lambda: page(
                request,
                caller,
                "dead_letter.html",
                status=problem.status if problem is not None else 200,
                row=row,
                headers={name: shown(content) for name, content in letter.headers},
                key=shown(letter.key),
                value=shown(letter.value),
                may=caller.may(Action.OPERATE, row.model_name),
                roles=roles_for(Action.OPERATE),
                problem=problem,
                form=form,
            )
        )

    async def _found(caller: Caller, letter_id: str) -> tuple[DeadLetterRow, DeadLetter]:
        """Raises Problem 404 for a letter that is not there, or that the caller may not read."""
        row = await run_in_threadpool(_row, letter_id)
        if row is None or not caller.may(Action.READ, row.model_name):
            raise _none(letter_id)
        letter = await read_letter(site.settings, row)
        if letter is None or letter.id != row.id:
            raise _none(letter_id)
        return row, letter

    def _row(letter_id: str) -> DeadLetterRow | None:
        with site.database.reading() as session:
            return dead_letters.by_id(session, letter_id)

    def _note(row: DeadLetterRow, actor: str, reason: str) -> None:
        with site.database.transaction() as session:
            dead_letters.remove(session, [row.id])
            queries.add_audit(
                session,
                "dead letter replayed",
                row.model_name or "",
                None,
                actor=actor,
                reason=reason,
                evidence={"letter": row.id, "service": row.service, "topic": row.topic, "error": row.error},
            )

    return router


def _none(letter_id: str) -> Problem:
    return Problem(404, "no such dead letter", f"{letter_id!r}: it was replayed or discarded, or there was none")


def shown(content: bytes | None) -> str | None:
    """Return what a page shows of bytes: their text, or else their beginning in hexadecimal."""
    if content is None:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = f"hex:{content[: SHOWN // 2].hex()}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(content):,} bytes in all)"
