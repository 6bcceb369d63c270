"""Roles a model: which subject may do what. Pure: a table of rules, no I/O.

A rule grants a role, or denies it, to subjects on models; both are glob patterns. A denial wins over every grant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from chassis.auth.identity import Identity, Method


class Action(StrEnum):
    """What an endpoint does; each endpoint declares one."""

    OPEN = "open"
    """Health, readiness and, unless configured otherwise, metrics: without authentication."""
    IDENTIFY = "identify"
    """Whose token this is: every valid token."""
    READ = "read"
    PREDICT = "predict"
    FEEDBACK = "feedback"
    OPERATE = "operate"
    """Train, register, replay, roll back, freeze and unfreeze, abort, score and benchmark now."""
    APPROVE = "approve"
    """Approve, refuse, promote a version that passed its gates."""
    OVERRIDE = "override"
    """Promote a version that did not pass."""


class Role(StrEnum):
    CLIENT = "client"
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


ACTIONS: Mapping[Role, frozenset[Action]] = {
    Role.CLIENT: frozenset({Action.PREDICT, Action.FEEDBACK}),
    Role.VIEWER: frozenset({Action.READ}),
    Role.OPERATOR: frozenset({Action.READ, Action.OPERATE}),
    Role.APPROVER: frozenset({Action.READ, Action.APPROVE}),
    Role.ADMIN: frozenset(Action),
}


ROLE = "role:"


class Effect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True)
class Rule:
    """`subjects` and `models` are glob patterns, case-sensitive; a subject `role:NAME` is whose token has that role."""

    role: Role
    subjects: tuple[str, ...]
    models: tuple[str, ...] = ("*",)
    effect: Effect = Effect.ALLOW


@dataclass(frozen=True)
class Denial:
    """Why a caller may not; for the log and for who is authenticated, never for strangers."""

    reason: str


OWN_ROLES: tuple[Rule, ...] = tuple(Rule(role, (f"role:{role.value}",)) for role in Role)
"""The rules without a file of roles: the roles that a token carries hold for all models."""


def who_may(rules: Iterable[Rule], action: Action, model: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the patterns of subjects that rules permit an action on a model, and those that rules deny it.

    A subject may have a denial and a grant: then the denial wins. `role:NAME` is whose token has that role.
    """
    granted: dict[str, None] = {}
    denied: dict[str, None] = {}
    for rule in rules:
        if action in ACTIONS[rule.role] and ("*" in rule.models if model is None else _matches(rule.models, model)):
            found = denied if rule.effect is Effect.DENY else granted
            found.update(dict.fromkeys(rule.subjects))
    return tuple(granted), tuple(denied)


def permitted(rules: Iterable[Rule], identity: Identity, action: Action, model: str | None) -> Denial | None:
    """Return None if the caller may perform the action on the model, else why not.

    `model` is None for what concerns no single model: then a grant must be for all models (`*`). A denial counts where
    it could concern the model.
    """
    if _needs_no_role(identity, action):
        return None
    if not ("*" in identity.models if model is None else _matches(identity.models, model)):
        where = "all models" if model is None else f"model {model!r}"
        return Denial(f"the token of {identity.subject} is for {', '.join(identity.models)} only, not for {where}")
    granted = False
    for rule in rules:
        if action not in ACTIONS[rule.role] or not _concerns(rule, identity):
            continue
        if rule.effect is Effect.DENY:
            if model is None or _matches(rule.models, model):
                return Denial(f"{identity.subject} is denied the role {rule.role} for {', '.join(rule.models)}")
        elif "*" in rule.models if model is None else _matches(rule.models, model):
            granted = True
    return None if granted else Denial(needed(identity, action, model))


def permitted_somewhere(rules: Iterable[Rule], identity: Identity, action: Action) -> Denial | None:
    """Return None if a rule grants the action on any model, else why not. A denial of all models wins."""
    if _needs_no_role(identity, action):
        return None
    concerning = [rule for rule in rules if action in ACTIONS[rule.role] and _concerns(rule, identity)]
    if any(rule.effect is Effect.DENY and "*" in rule.models for rule in concerning):
        return Denial(f"{identity.subject} is denied to {action} for all models")
    if any(rule.effect is Effect.ALLOW for rule in concerning):
        return None
    return Denial(f"{identity.subject} may not {action}: it needs the role {roles_for(action)} for a model")


def needed(identity: Identity, action: Action, model: str | None) -> str:
    """Return which role the caller would need. It names no rule and says nothing of whether the model exists."""
    where = "all models (*)" if model is None else f"model {model!r}"
    return f"{identity.subject} may not {action} here: it needs the role {roles_for(action)} for {where}"


def _needs_no_role(identity: Identity, action: Action) -> bool:
    return action in (Action.OPEN, Action.IDENTIFY) or identity.method is Method.OFF


def roles_for(action: Action) -> str:
    """Return the roles that permit an action, in words."""
    return " or ".join(role for role, actions in ACTIONS.items() if action in actions)


def _concerns(rule: Rule, identity: Identity) -> bool:
    """Compare a pattern `role:…` with roles only, another one with the subject only: no subject passes as a role."""
    for pattern in rule.subjects:
        if pattern.startswith(ROLE):
            if any(fnmatchcase(role, pattern.removeprefix(ROLE)) for role in identity.roles):
                return True
        elif fnmatchcase(identity.subject, pattern):
            return True
    return False


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
