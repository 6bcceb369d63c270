"""The Policy screen: what is in force, in words and as YAML, and what a changed policy would have decided."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, allowed
from chassis.explain.policy import in_words
from chassis.policies import PolicyError, parse_policy
from chassis.yaml_file import LARGEST_FILE
from contracts.policy import ModelPolicy
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.console.what_if import WhatIf, what_if

PATH = "/console/models/{model_name}/policy"


def policy_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get(PATH, openapi_extra=allowed(Action.READ), response_class=HTMLResponse)
    def policy(request: Request, model_name: str, caller: CallerOf) -> HTMLResponse:
        """The policy of a model in words and as YAML, since when it is in force, and what is wrong with its file."""
        site.decisions.known(model_name)
        return _page(request, caller, model_name, None)

    @router.post(PATH, openapi_extra=allowed(Action.OPERATE), response_class=HTMLResponse)
    def try_policy(
        request: Request, model_name: str, caller: CallerOf, text: Annotated[str, Form(max_length=LARGEST_FILE)] = ""
    ) -> HTMLResponse:
        """What a changed policy would have decided on the newest verdicts. Nothing is recorded."""
        site.decisions.known(model_name)
        return _page(request, caller, model_name, what_if(text, model_name, site.database, site.replayer))

    def _page(request: Request, caller: Caller, model_name: str, tried: WhatIf | None) -> HTMLResponse:
        in_force, details = site.policies.get(model_name), site.policies.details()
        return page(
            request,
            caller,
            "policy.html",
            model_name=model_name,
            policy=in_force,
            words=in_words(in_force) if in_force is not None else [],
            since=details["in_force"].get(model_name),
            text=_text(site, model_name, in_force),
            problem=site.policies.problem_of(model_name),
            folder=site.policies.folder,
            may_try=caller.may(Action.OPERATE, model_name),
            tried=tried,
        )

    return router


def _text(site: Site, model_name: str, in_force: ModelPolicy | None) -> str:
    """Return the file of the policy as it is in force; where the file is another by now, what it said, written anew."""
    if in_force is None:
        return ""
    path = site.policies.file_of(model_name)
    try:
        content = path.read_bytes() if path is not None else b""
        if path is not None and parse_policy(content, path).digest == in_force.digest:
            return content.decode()
    except (OSError, PolicyError, UnicodeDecodeError):
        pass
    import yaml

    said: dict[str, Any] = in_force.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return str(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
