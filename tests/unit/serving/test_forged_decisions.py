"""More than 10,000 decisions that nobody may believe, through the code that a replica runs: none counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from contracts import GatePassed
from support.believers import ROLES, Believer, run
from support.forged import EVIL, FIRST, Forgery, World, corpus, full, version, world


@pytest.fixture(scope="module")
def made() -> World:
    return world()


@pytest.fixture(scope="module")
def forgeries(made: World) -> list[Forgery]:
    return corpus(made)


@pytest.mark.parametrize("role", ROLES)
def test_none_of_the_corpus_changes_what_is_served(
    tmp_path: Path, made: World, forgeries: list[Forgery], role: str
) -> None:
    async def scenario() -> None:
        replica = Believer(tmp_path, made, role)
        await replica.read(made.history)
        await replica.catch_up()
        before, wrong = replica.in_force(), Counter[str]()
        assert replica.version(FIRST) == {"production": 5, "staging": 6}[role]
        topics = {event.topic for event in replica.events}
        tried = [each for each in forgeries if each.record.topic in topics]
        if role == "staging":  # production reads all promotions
            tried = [each for at, each in enumerate(tried) if each.record.topic == GatePassed.topic or at % 5 == 0]
        for forgery in tried:
            count = replica.trust.details()["refused"]
            await replica.read([forgery.record])
            refused = replica.trust.details()["refused"] > count
            if replica.in_force() != before or forgery.refused not in (None, refused):
                wrong[f"{forgery.kind}: refused is {refused}"] += 1
        assert not wrong
        if role == "production":
            await replica.read([made.signed(full(version(FIRST, 7).promoted(5)), minutes=1)])
        else:
            await replica.read([made.signed(version(FIRST, 7).gate_passed(), minutes=10**5)])
        assert replica.version() == 7, "a genuine one is believed, after all of them"

    run(scenario)


def test_the_corpus_is_large_and_takes_in_whoever_trusts_no_keys(
    tmp_path: Path, made: World, forgeries: list[Forgery]
) -> None:
    async def scenario() -> None:
        replica = Believer(tmp_path, made, trusts=False)
        await replica.read(made.history)
        served = set()
        for forgery in forgeries[::10]:
            await replica.read([forgery.record])
            served.add(replica.version())
        [invented, *_] = [
            each
            for each in forgeries
            if each.kind == "unsigned" and b'"epoch":2147483647' in (each.record.value or b"")
        ]
        await replica.read([invented.record])
        assert len(served) > 1 and EVIL.model_version in {*served, replica.version()}

    distinct = {(*each.record[:3], tuple(each.record.headers)) for each in forgeries}
    assert len(distinct) >= 10_000
    run(scenario)
