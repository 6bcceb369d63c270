"""When earlier versions are compared: after a drift, on new golden rows; after a benchmark, on its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from contracts.policy import ModelPolicy
from gatekeeper.policy.tournament import comparison

LATEST = "latest"


@dataclass(frozen=True)
class NewestGolden:
    """The newest golden dataset that users created; `number` counts the model's datasets, from 1 on."""

    number: int
    digest: str
    created_at: datetime


@dataclass(frozen=True)
class TournamentTrigger:
    """State of a model when drift of one of its versions is reported."""

    drifted_version: int
    champion_version: int | None
    newest: NewestGolden | None = None
    judged_on: int | None = None
    """Number of the newest golden dataset that the champion was judged on; None: none."""
    judged_at: datetime | None = None
    """Time of the champion's own verdict."""
    played: bool = False
    """A tournament on the newest golden dataset has already taken place."""
    others: int = 0
    """Number of earlier versions that may take part."""
    decides: bool = True
    """False: of a changed score, or of an estimate without labels, which decide nothing alone."""


@dataclass(frozen=True)
class Play:
    golden_digest: str
    reason: str


@dataclass(frozen=True)
class Skip:
    reason: str


def after_drift(trigger: TournamentTrigger, policy: ModelPolicy | None) -> Play | Skip:
    """Decide on a tournament: only on golden rows newer than those the champion was judged on, once per dataset."""
    if policy is None:
        return Skip("the model has no policy")
    if not trigger.decides:
        return Skip("a changed score, or an estimate without labels, decides nothing alone")
    if comparison(policy) is None:
        return Skip("its policy compares no retained versions")
    if policy.golden.dataset != LATEST:
        return Skip(f"its policy does not say golden.dataset: {LATEST}; new rows come with a new version")
    if trigger.champion_version is None:
        return Skip("there is no champion")
    if trigger.drifted_version != trigger.champion_version:
        return Skip(f"it is v{trigger.drifted_version} that drifted, and v{trigger.champion_version} answers by now")
    newest = trigger.newest
    if newest is None:
        return Skip("there is no golden dataset (gauntlet golden create)")
    named = f"golden dataset {newest.number}, the newest,"
    if trigger.played:
        return Skip(f"on {named} a tournament was played already")
    if trigger.judged_on is not None and trigger.judged_on >= newest.number:
        return Skip(f"{named} is what champion v{trigger.champion_version} was judged on")
    if trigger.judged_on is None and trigger.judged_at is not None and newest.created_at <= trigger.judged_at:
        return Skip(f"{named} was made before champion v{trigger.champion_version} was judged")
    if trigger.others == 0:
        return Skip("there is no earlier version that may play")
    return Play(newest.digest, f"on {named} champion v{trigger.champion_version} was not judged yet")


@dataclass(frozen=True)
class BenchmarkTrigger:
    """State of a model when a benchmark is completed. `compared`: the champion that was compared in it."""

    failed: bool
    compared: int | None
    champion_version: int | None
    played: bool = False
    others: int = 0


def after_benchmark(trigger: BenchmarkTrigger, policy: ModelPolicy | None) -> Skip | None:
    """Return why no tournament follows a benchmark; None: it follows.

    Its rows are those on which the champion failed, and champions fail more often where they had bad luck. Still no
    more than α of the benchmarks end with an equally good champion replaced: the test alone holds that, whatever else
    must be true before it counts.
    """
    if policy is None:
        return Skip("the model has no policy")
    if policy.benchmark is None or not policy.benchmark.tournament:
        return Skip("its policy wants no tournament after a benchmark (benchmark: {tournament: true})")
    if comparison(policy) is None:
        return Skip("its policy compares no retained versions")
    if not trigger.failed:
        return Skip("the champion did not fail the benchmark")
    if trigger.champion_version is None or trigger.champion_version != trigger.compared:
        return Skip(f"it is v{trigger.compared} that failed, and v{trigger.champion_version} answers by now")
    if trigger.played:
        return Skip("on the rows of this benchmark a tournament was played already")
    if trigger.others == 0:
        return Skip("there is no earlier version that may play")
    return None
