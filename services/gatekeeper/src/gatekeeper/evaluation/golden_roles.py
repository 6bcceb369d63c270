"""Which golden rows, and which of their columns is the label, the entity and the event time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from chassis.mlmodel import MLmodel
from chassis.parquet import columns_of
from contracts.policy import ModelPolicy

ROLES = ("label", "entity", "event_time")


class Unusable(ValueError):
    """These rows cannot be used; the message gives the reason."""


@dataclass(frozen=True)
class GoldenSource:
    """Where golden rows are from, in words; and which columns their dataset names, keyed as `ROLES`.

    `ordered`: bounds use the order of the rows in time. False in evidence before format 4.
    """

    where: str
    names: Mapping[str, str] = field(default_factory=dict)
    ordered: bool = True


@dataclass(frozen=True)
class Roles:
    """Names of columns. `said_by`: who named each, in words. `not_features`: entity and event time, by any name."""

    label: str | None = None
    entity: str | None = None
    event_time: str | None = None
    said_by: Mapping[str, str] = field(default_factory=dict)
    not_features: frozenset[str] = frozenset()


def roles_of(table: pa.Table, model: MLmodel, policy: ModelPolicy, source: GoldenSource) -> Roles:
    """Find each role: as the policy names it, else as the model's metadata and the dataset do.

    Raises Unusable where these two differ: a candidate must not choose the column that it is judged on. A name of the
    model's that the rows do not have is no choice.
    """
    columns = columns_of(table.schema)
    dataset = {**_in_file(table), **source.names}
    named: dict[str, str] = {}
    said_by: dict[str, str] = {}
    others: set[str] = set()
    for role in ROLES:
        own, model_s, dataset_s = (
            str(found) if found else None
            for found in (getattr(policy, role, None), model.roles.get(role), dataset.get(role))
        )
        others |= {name for name in (own, model_s, dataset_s) if name and role != "label"}
        if model_s not in columns and dataset_s in columns:
            model_s = None
        if own is None and model_s is not None and dataset_s is not None and model_s != dataset_s:
            raise Unusable(
                f"the model's metadata names {model_s!r} as {role.replace('_', ' ')}, the golden dataset"
                f" {dataset_s!r}: "
                + ("name it in one of them only" if role == "event_time" else f"the policy has to say which ({role}:)")
            )
        who = "the policy" if own else "the model's metadata" if model_s else "the golden dataset"
        if name := own or model_s or dataset_s:
            named[role], said_by[role] = name, who
    return Roles(**named, said_by=said_by, not_features=frozenset(others))


def of_old(table: pa.Table, model: MLmodel, policy: ModelPolicy) -> Roles:
    """Find them as was done for evidence before format 3: there, the file's own names came before the model's."""
    roles = {**model.roles, **_in_file(table)}
    entity, event_time = policy.entity or roles.get("entity"), roles.get("event_time")
    others = frozenset(name for name in (policy.entity, roles.get("entity"), event_time) if name)
    return Roles(roles.get("label"), entity, event_time, not_features=others)


def _in_file(table: pa.Table) -> dict[str, Any]:
    """Return the roles that a Parquet file names itself, as JSON with the key `gauntlet` of its metadata."""
    raw = (table.schema.metadata or {}).get(b"gauntlet")
    try:
        roles = json.loads(raw) if raw else {}
    except ValueError:
        return {}
    return roles if isinstance(roles, dict) else {}
