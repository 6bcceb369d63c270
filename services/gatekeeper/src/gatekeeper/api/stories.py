"""The HTTP API of stories: what followed from an event, over all services."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.http import Problem, problems
from contracts.event import LARGEST_INTEGER
from gatekeeper.promotion.commands import Decisions
from gatekeeper.stories.reading import Stories
from gatekeeper.stories.views import HeadingView, StoryView, heading_view, story_view

HINT = "GET /stories lists the newest; GET /stories?model=NAME those of a model"


def stories_router(stories: Stories, decisions: Decisions) -> APIRouter:
    router = guarded_router(tags=["stories"])

    @router.get("/stories", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def list_stories(
        caller: CallerOf,
        model: Annotated[str | None, Query(description="Only of this model")] = None,
        version: Annotated[
            int | None, Query(ge=1, le=LARGEST_INTEGER, description="With model: the story that registered it")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> list[HeadingView]:
        """Stories of the newest 2,000 events, the newest story first."""
        if model is not None:
            caller.require(Action.READ, model)
            decisions.known(model)
        if model is not None and version is not None:
            correlation_id = stories.of_version(model, version)
            if correlation_id is None:
                raise Problem(404, "no such story", f"no event of {model} v{version} is in the event log; {HINT}")
            return [heading_view(each) for each in stories.headings([correlation_id], caller.sees)]
        return [heading_view(each) for each in stories.newest(model, caller.sees, limit)]

    @router.get("/stories/{story_id}", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    async def show_story(story_id: str, request: Request, caller: CallerOf) -> StoryView:
        """A story by its correlation id, or by the id of one of its events, with where its time went."""
        authorization = request.headers.get("authorization")
        found = await stories.read(story_id, caller.sees, authorization)
        if found is None:
            raise Problem(404, "no such story", f"no event has the id or the correlation id {story_id!r}; {HINT}")
        return story_view(found)

    return router
