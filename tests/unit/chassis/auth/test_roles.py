"""Roles a model: the table of cases, and the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.auth.identity import ANONYMOUS, Identity, Method
from chassis.auth.roles import (
    ACTIONS,
    OWN_ROLES,
    Action,
    Effect,
    Role,
    Rule,
    needed,
    permitted,
    permitted_somewhere,
)
from chassis.auth.roles_file import parse_roles
from chassis.yaml_file import YamlError

ANN = Identity("ann", Method.TOKEN, ("operator",))
LEAD = Identity("lea", Method.OIDC, ("ml-leads",))

RULES = (
    Rule(Role.VIEWER, ("*",), ("*",)),
    Rule(Role.OPERATOR, ("ann",), ("flights-*",)),
    Rule(Role.APPROVER, ("role:ml-*",)),
    Rule(Role.ADMIN, ("root",)),
    Rule(Role.OPERATOR, ("ann",), ("flights-secret",), Effect.DENY),
    Rule(Role.ADMIN, ("mallory",), ("*",), Effect.DENY),
)

CASES = [
    (ANN, Action.READ, "churn", True),
    (ANN, Action.OPERATE, "flights-delay", True),
    (ANN, Action.OPERATE, "Flights-delay", False),  # patterns are case-sensitive
    (ANN, Action.OPERATE, "churn", False),
    (ANN, Action.OPERATE, None, False),  # a role for some models is none for all
    (ANN, Action.OPERATE, "flights-secret", False),  # DENY wins
    (ANN, Action.READ, "flights-secret", False),  # the denied role could read, so reading is denied, too
    (ANN, Action.READ, None, False),  # a denial counts where it could concern a model
    (ANN, Action.APPROVE, "flights-delay", False),
    (LEAD, Action.APPROVE, "churn", True),
    (LEAD, Action.APPROVE, None, True),
    (LEAD, Action.OVERRIDE, "churn", False),
    (Identity("root", Method.TOKEN), Action.OVERRIDE, None, True),
    (Identity("mallory", Method.TOKEN), Action.READ, "churn", False),
    (Identity("role:ml-leads", Method.OIDC), Action.APPROVE, "churn", False),  # a subject does not pass as a role
    (Identity("mallory", Method.TOKEN), Action.OPEN, None, True),
    (Identity("mallory", Method.TOKEN), Action.IDENTIFY, None, True),
    (ANONYMOUS, Action.OVERRIDE, None, True),
]


@pytest.mark.parametrize(("identity", "action", "model", "may"), CASES)
def test_who_may_do_what(identity: Identity, action: Action, model: str | None, may: bool) -> None:
    assert (permitted(RULES, identity, action, model) is None) is may


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", [each for each in Action if each not in (Action.OPEN, Action.IDENTIFY)])
def test_without_a_file_the_roles_of_a_token_hold_for_all_models(role: Role, action: Action) -> None:
    holder = Identity("x", Method.TOKEN, (role.value,))
    may = action in ACTIONS[role]
    assert (permitted(OWN_ROLES, holder, action, None) is None) is may
    assert (permitted(OWN_ROLES, holder, action, "any") is None) is may
    assert (permitted_somewhere(OWN_ROLES, holder, action) is None) is may


@pytest.mark.parametrize(
    ("identity", "action", "may"),
    [
        (ANN, Action.OPERATE, True),
        (ANN, Action.APPROVE, False),
        (LEAD, Action.APPROVE, True),
        (Identity("mallory", Method.TOKEN), Action.READ, False),
        (ANONYMOUS, Action.OVERRIDE, True),
    ],
)
def test_where_no_model_is_named_a_role_for_any_model_admits(identity: Identity, action: Action, may: bool) -> None:
    assert (permitted_somewhere(RULES, identity, action) is None) is may


def test_a_refusal_names_the_role_and_no_rule() -> None:
    shown = needed(ANN, Action.APPROVE, "churn")
    assert shown == "ann may not approve here: it needs the role approver or admin for model 'churn'"


FILE = """\
rules:
  - role: viewer
    subjects: ["*"]
  - role: operator
    subjects: [ann, "role:ml"]
    models: ["flights-*"]
  - {effect: deny, role: admin, subjects: [bob], models: [churn]}
"""


def test_the_file_of_roles_is_a_list_of_rules() -> None:
    assert parse_roles(FILE.encode(), Path("roles.yaml")) == (
        Rule(Role.VIEWER, ("*",)),
        Rule(Role.OPERATOR, ("ann", "role:ml"), ("flights-*",)),
        Rule(Role.ADMIN, ("bob",), ("churn",), Effect.DENY),
    )


@pytest.mark.parametrize(
    ("wrong", "right", "line", "named"),
    [
        ("operator", "operater", 4, ["rules.1.role", "operater"]),
        ("subjects: [ann", "subject: [ann", 5, ["rules.1.subject", "unknown key; did you mean 'subjects'?"]),
        ('["flights-*"]', "[]", 6, ["rules.1.models"]),
        ("effect: deny", "effect: refuse", 7, ["rules.2.effect", "refuse"]),
        ("rules:", "rule:", 1, ["rule"]),
        ('    models: ["flights-*"]', '    models: ["a"]\n    models: ["b"]', 7, ["models", "second time"]),
    ],
)
def test_an_error_names_line_key_and_value(wrong: str, right: str, line: int, named: list[str]) -> None:
    with pytest.raises(YamlError) as refused:
        parse_roles(FILE.replace(wrong, right, 1).encode(), Path("roles.yaml"))
    assert f"roles.yaml:{line}:" in str(refused.value)
    assert all(word in str(refused.value) for word in named), str(refused.value)
