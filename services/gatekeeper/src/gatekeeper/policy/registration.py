"""Decide whether a version that has a verdict is judged again when it is registered again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from contracts import Outcome

AGAIN = "again"
"""`Trigger.kind` of a ModelRegistered that requests another judgement under unchanged circumstances."""


@dataclass(frozen=True)
class Circumstances:
    """What a verdict depends on. `data` maps what was registered (artifact, training data, …) to digests or names.

    None is unknown: it differs from nothing.
    """

    policy_digest: str | None = None
    golden_digest: str | None = None
    champion_version: int | None = None
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """The verdict of a version. `outcome` is None for one that was superseded instead of judged."""

    model_version: int
    outcome: Outcome | None
    judged_at: datetime
    under: Circumstances
    rolled_back: bool = False
    """A person rolled back from this version."""


@dataclass(frozen=True)
class JudgeAgain:
    reason: str


@dataclass(frozen=True)
class Keep:
    """The verdict stands; `reason` says why, and what would have it judged again."""

    reason: str


def on_registered_again(standing: Standing, now: Circumstances, again: bool, why: str | None) -> JudgeAgain | Keep:
    """Decide on a version that has a verdict. `again`: another judgement is requested, for the reason `why`."""
    if again and why:
        return JudgeAgain(f"requested again: {why}")
    changes = tuple(_changes(standing, now))
    if standing.rolled_back:
        return _keep(standing, "and a person rolled back from it since", again)
    if standing.outcome is None:
        return JudgeAgain("it was superseded, not judged")
    if standing.outcome is Outcome.INCONCLUSIVE:
        return JudgeAgain("; ".join(("its verdict is Inconclusive", *changes)))
    if changes:
        return JudgeAgain("; ".join(changes))
    return _keep(standing, "and neither policy, golden rows, champion nor data have changed since", again)


def _keep(standing: Standing, why: str, again: bool) -> Keep:
    outcome = standing.outcome.value if standing.outcome else "Superseded"
    need = "judging it again needs a reason" if again else "judging it again needs --again with a --reason"
    return Keep(
        f"v{standing.model_version} was judged {outcome} at {standing.judged_at:%Y-%m-%d %H:%M:%S} UTC, {why}: {need}"
    )


def _changes(standing: Standing, now: Circumstances) -> Iterator[str]:
    then = standing.under
    if _differs(then.policy_digest, now.policy_digest):
        yield "the policy has changed"
    if _differs(then.golden_digest, now.golden_digest):
        yield "the golden rows are others"
    if now.champion_version not in (then.champion_version, standing.model_version):
        was = "there was no champion" if then.champion_version is None else f"champion v{then.champion_version}"
        yield f"{was}, and now v{now.champion_version} is" if now.champion_version else f"{was} has gone"
    names = [name for name in now.data if _differs(then.data.get(name), now.data[name])]
    new = [name for name in now.data if name not in then.data]
    if names or new:
        yield f"another {_some((*names, *new))} is registered"


def _differs(then: str | None, now: str | None) -> bool:
    return None not in (then, now) and then != now


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
