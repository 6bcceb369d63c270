"""Who is in which arm: the same everywhere, sticky, fair, and only ever growing with the share."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from contracts import Arm
from serving.policy.routing import arm, arms, unit

GOLDEN = {  # printf 'SALT\0UNIT' | sha256sum | cut -c1-16, as a share of 2**64
    ("N123", ""): 0.18457112735224665,
    ("N123", "rollout-1"): 0.7439314591825625,
    ("", "rollout-1"): 0.06424209089099314,
    ("ü", "rollout-1"): 0.690904050795209,
    ("a:0", "rollout-1"): 0.535080669325461,
    ("7", "rollout-1"): 0.12025203387254964,
}
IDS = [f"N{number}" for number in range(20_000)]


def in_arm(salt: str, share: float) -> set[str]:
    return {each for each in IDS if arm(each, salt, share) is Arm.CHALLENGER}


@pytest.mark.parametrize(("given", "salt"), GOLDEN)
def test_a_unit_is_in_the_arm_from_its_own_share_on(given: str, salt: str) -> None:
    share = GOLDEN[given, salt]
    assert arm(given, salt, share - 1e-9) is Arm.CHAMPION
    assert arm(given, salt, share + 1e-9) is Arm.CHALLENGER


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nobody_is_in_an_arm_of_nothing_and_everybody_in_one_of_all(share: float) -> None:
    assert in_arm("s", share) == (set(IDS) if share else set())


def test_who_is_in_the_arm_stays_while_the_share_grows() -> None:
    steps = [in_arm("s", share) for share in (0.01, 0.1, 0.5, 0.9)]
    assert all(one < next_one for one, next_one in pairwise(steps))
    for step, share in zip(steps, (0.01, 0.1, 0.5, 0.9), strict=True):
        assert abs(len(step) / len(IDS) - share) < 4 * (share * (1 - share) / len(IDS)) ** 0.5


def test_another_salt_divides_independently() -> None:
    both = len(in_arm("one", 0.5) & in_arm("another", 0.5)) / len(IDS)
    assert abs(both - 0.25) < 4 * (0.25 * 0.75 / len(IDS)) ** 0.5


@pytest.mark.parametrize(
    ("entity", "request_id", "row", "expected"),
    [("N7", "r", 3, "N7"), (None, "r", 0, "r:0"), (None, "r", 3, "r:3"), ("", "r", 3, "")],
)
def test_the_unit_is_the_entity_or_else_the_prediction(
    entity: str | None, request_id: str, row: int, expected: str
) -> None:
    assert unit(entity, request_id, row) == expected


def test_the_rows_of_a_request() -> None:
    entities = ["N1", "N2", "N1", None]
    found = arms(entities, "r", 4, "s", 0.5)
    assert found == [arm(each, "s", 0.5) for each in ("N1", "N2", "N1", "r:3")]
    assert arms((), "r", 40, "s", 0.5) == [arm(f"r:{row}", "s", 0.5) for row in range(40)]
    assert set(arms((), "r", 40, "s", 0.5)) == set(Arm), "rows without entities are drawn one by one"


def test_half_of_a_surrogate_pair_is_a_unit_too() -> None:
    assert arm("\ud800", "s", 1.0) is Arm.CHALLENGER


def test_another_process_finds_the_same() -> None:
    code = "from serving.policy.routing import arms; print(*arms((), 'r', 50, 's', 0.5))"
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert told.split() == arms((), "r", 50, "s", 0.5)
