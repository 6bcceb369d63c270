"""What is in memory, and what leaves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policy.eviction import Held, evictions
from serving.policy.versions import Artifact


def held(model: str, size: int, last_used: float, version: int = 1, **more: bool) -> Held:
    return Held(Artifact(model, version, f"sha256:{model}{version}"), size, last_used, **more)


def old(model: str, size: int, last_used: float) -> Held:
    return held(model, size, last_used, version=0, previous=True)


A, B, C = held("a", 10, 1.0), held("b", 10, 2.0), held("c", 10, 3.0)
OLD_A, OLD_B = old("a", 10, 1.0), old("b", 10, 2.0)
TRIED_A, TRIED_B = (held(model, 10, used, version=9, tried=True) for model, used in (("a", 1.0), ("b", 2.0)))
WATCHED_A = held("a", 10, 1.0, version=0, tried=True, previous=True)

CASES: dict[str, tuple[list[Held], int, list[Held]]] = {
    "nothing is in memory": ([], 5, []),
    "all of it fits": ([A, B, C], 30, []),
    "the model asked least recently goes": ([C, A, B], 29, [A]),
    "as many as it takes": ([C, A, B], 10, [A, B]),
    "the last model stays, however large": ([C, A, B], 1, [A, B]),
    "one model by itself stays": ([A], 1, []),
    "its copy for a rollback does not": ([OLD_A, A], 1, [OLD_A]),
    "copies go before any model": ([A, B, OLD_B], 20, [OLD_B]),
    "the copy of the model asked least recently goes first": ([B, OLD_B, A, OLD_A], 30, [OLD_A]),
    "then models": ([B, OLD_B, A, OLD_A], 10, [OLD_A, OLD_B, A]),
    "a version that is tried goes before any model that answers": ([A, B, TRIED_B], 20, [TRIED_B]),
    "even with the one that is used most": (
        [A, held("b", 10, 9.0), held("b", 1, 9.0, version=9, tried=True)],
        20,
        [held("b", 1, 9.0, version=9, tried=True)],
    ),
    "a copy goes before a version that is tried": ([A, TRIED_A, B, OLD_B], 30, [OLD_B]),
    "the version tried of the model asked least recently goes first": ([B, TRIED_B, A, TRIED_A], 30, [TRIED_A]),
    "copies, then what is tried, then models": (
        [B, TRIED_B, OLD_B, A, TRIED_A, OLD_A],
        10,
        [OLD_A, OLD_B, TRIED_A, TRIED_B, A],
    ),
    "in a watch, the one before counts as tried": ([A, WATCHED_A, B, OLD_B], 30, [OLD_B]),
    "one that does not fit beside its champion goes alone": (
        [A, held("a", 90, 1.0, version=9, tried=True)],
        50,
        [held("a", 90, 1.0, version=9, tried=True)],
    ),
    "nor does it stay while its model is pinned": (
        [held("a", 10, 1.0, pinned=True), held("a", 10, 1.0, version=9, tried=True, pinned=True)],
        15,
        [held("a", 10, 1.0, version=9, tried=True)],
    ),
    "a model that somebody waits for stays": ([held("a", 10, 1.0, pinned=True), B, C], 20, [B]),
    "so it does when that is too much": ([held("a", 10, 1.0, pinned=True), held("b", 10, 2.0, pinned=True)], 5, []),
    "a model goes with the version that is being loaded": (
        [A, held("a", 10, 1.0, version=2), B],
        15,
        [A, held("a", 10, 1.0, version=2)],
    ),
    "what is pinned is one model that is left": ([A, held("b", 10, 2.0, pinned=True)], 5, [A]),
}


@pytest.mark.parametrize("name", CASES)
def test_evictions(name: str) -> None:
    state, budget, expected = CASES[name]
    assert evictions(state, budget) == tuple(item.artifact for item in expected)


@st.composite
def states(draw: st.DrawFn) -> list[Held]:
    found = []
    for number in range(draw(st.integers(1, 6))):
        last_used, pinned = draw(st.floats(0, 9)), draw(st.booleans())
        for version in range(draw(st.integers(1, 3))):
            size, previous = draw(st.integers(0, 50)), version > 0 and draw(st.booleans())
            found.append(held(f"m{number}", size, last_used, version, previous=previous, pinned=pinned))
    return draw(st.permutations(found))


@given(states(), st.integers(0, 200))
def test_it_ends_within_the_budget_or_with_what_must_stay(state: list[Held], budget: int) -> None:
    gone = evictions(state, budget)
    left = [item for item in state if item.artifact not in gone]
    current = [item for item in left if not item.previous]
    assert len(set(gone)) == len(gone)
    assert current, "one model is always left"
    assert not [item for item in state if item.pinned and not item.previous and item.artifact in gone]
    if sum(item.size for item in left) > budget:
        assert left == current, "every copy for a rollback has gone"
        assert all(item.pinned for item in left) or len({item.artifact.model_name for item in left}) == 1
    if gone:
        without_last = [item for item in state if item.artifact not in gone[: -len(_with(gone[-1], state))]]
        assert sum(item.size for item in without_last) > budget, "no more than it takes"


def _with(artifact: Artifact, state: list[Held]) -> list[Held]:
    """What left memory in one go with `artifact`."""
    (item,) = [item for item in state if item.artifact == artifact]
    if item.previous:
        return [item]
    return [each for each in state if each.artifact.model_name == artifact.model_name and not each.previous]


@given(states(), st.integers(0, 200))
def test_no_model_goes_while_one_asked_earlier_stays(state: list[Held], budget: int) -> None:
    gone = evictions(state, budget)
    models = [item for item in state if not item.previous and not item.pinned]
    left = [item.last_used for item in models if item.artifact not in gone]
    assert all(item.last_used <= min(left, default=item.last_used) for item in models if item.artifact in gone)
