"""What takes more than one request: decisions with their actor, registering, and `gauntlet try`."""

from __future__ import annotations

import getpass
import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

from contracts import Dataset, Envelope, ModelRegistered, Trigger, new_envelope
from gauntlet_client import calls
from gauntlet_client.addresses import Addresses
from gauntlet_client.errors import ClientError, NotFound
from gauntlet_client.exchange import ask
from gauntlet_client.results import Freeze, Promotion, Rollout
from gauntlet_client.steps import Publish, Run, Steps

READY = "READY"
LONGEST_OUTPUT = 2000


def promote(name: str, version: int, reason: str, actor: str | None, token: bool) -> Steps[Promotion]:
    body = yield from _who_and_why(reason, actor, token)
    return (yield from ask(calls.promotion(name, "promote", {**body, "model_version": calls.number(version)})))


def rollback(name: str, to: int | None, reason: str, actor: str | None, token: bool) -> Steps[Promotion]:
    body = yield from _who_and_why(reason, actor, token)
    body |= {"to": calls.number(to)} if to is not None else {}
    return (yield from ask(calls.promotion(name, "rollback", body)))


def freezing(name: str, decision: str, reason: str, actor: str | None, token: bool) -> Steps[Freeze]:
    body = yield from _who_and_why(reason, actor, token)
    return (yield from ask(calls.freezing(name, decision, body)))


def deciding(
    name: str, decision: str, reason: str, digest: str | None, actor: str | None, token: bool
) -> Steps[Rollout]:
    """`decision`: approve or refuse, bound to `digest`, or else to the evidence that is there now; or abort."""
    body = yield from _who_and_why(reason, actor, token)
    if decision != "abort":
        if digest is None:
            running = yield from ask(calls.rollouts(name, True, 1))
            if not running:
                raise ClientError(
                    f"no rollout of {name} runs", "`gauntlet candidates` shows what came of its versions."
                )
            digest = running[0].verdict_digest
        body["verdict_digest"] = digest
    return (yield from ask(calls.deciding(name, decision, body)))


def register(
    name: str,
    version: int,
    reason: str | None,
    again: bool,
    reference: Dataset | None,
    actor: str | None,
    token: bool,
) -> Steps[Envelope[ModelRegistered]]:
    """Publish ModelRegistered, as `gauntlet register` does, for a version that MLflow has."""
    if again and not (reason or "").strip():
        raise ClientError("the reason is empty", "To judge a version again although nothing has changed needs one.")
    try:
        found = yield from ask(calls.mlflow_version(name, version))
    except NotFound as error:
        error.hint = "Log the model with registered_model_name=…; MLFLOW_TRACKING_URI says which MLflow."
        raise
    if found.get("status", READY) != READY:
        raise ClientError(f"version {version} of {name!r} has status {found['status']} in MLflow, not {READY}")
    by = (yield from _authenticated(actor, token)) or actor_of(actor, required=False)
    event = ModelRegistered(
        model_name=name,
        model_version=version,
        run_id=found.get("run_id") or None,
        reference=reference,
        trigger=Trigger(kind="again" if again else "manual", reason=reason, by=by),
    )
    envelope = new_envelope(event, source="gauntlet-client")
    yield Publish(envelope)
    return envelope


def try_version(
    name: str, version: int, at: Addresses, options: Mapping[str, str | os.PathLike[str] | None]
) -> Steps[dict[str, Any]]:
    """Run `gauntlet try`, which judges in a process of its own: the gates need the gatekeeper's libraries."""
    program = shutil.which("gauntlet")
    if program is None:
        raise ClientError(
            "the command `gauntlet` is not on the PATH: a version is tried by the gates, which this client has not",
            "Install the member gauntlet, or put the bin folder of its environment on the PATH.",
        )
    options = {**options, "gatekeeper": at.of("gatekeeper"), "mlflow": at.of("mlflow")}
    named = [part for key, value in options.items() if value is not None for part in (f"--{key}", os.fspath(value))]
    command = (program, "try", calls.checked(name), str(calls.number(version)), "--json", *named)
    code, out, err = yield Run(command, {"GAUNTLET_TOKEN": at.token} if at.token else {})
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        raise ClientError(f"gauntlet try {name} {version} ended with {code}: {err.strip()[-LONGEST_OUTPUT:]}") from None
    return found


def actor_of(actor: str | None, required: bool = True) -> str | None:
    """Return who decides: `actor`, else GAUNTLET_ACTOR, else the user of this system. Raises ClientError for nobody."""
    given = actor if actor is not None else os.environ.get("GAUNTLET_ACTOR")
    if given is not None and not given.strip():
        raise ClientError("the actor is empty", "Name who decides with actor= or GAUNTLET_ACTOR.")
    try:
        return (given or getpass.getuser()).strip()
    except (OSError, KeyError) as error:
        if not required:
            return None
        raise ClientError("this system does not know your name", "Say who decides with actor=.") from error


def _who_and_why(reason: str, actor: str | None, token: bool) -> Steps[dict[str, Any]]:
    if not reason.strip():
        raise ClientError("the reason is empty", "Say why: it is kept in the audit trail.")
    known = yield from _authenticated(actor, token)
    return {"reason": reason.strip()} | ({} if known else {"actor": actor_of(actor)})


def _authenticated(actor: str | None, token: bool) -> Steps[str | None]:
    """Return whom the gatekeeper takes the holder of the token for; None while authentication is off there."""
    if not token:
        return None
    caller = yield from ask(calls.whoami())
    if caller["method"] == "off":
        return None
    if actor is not None:
        raise ClientError(
            f"the actor cannot be named: authentication is on, and you are {caller['subject']}",
            "Leave out actor=, or present another token.",
        )
    return str(caller["subject"])
