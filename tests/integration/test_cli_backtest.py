"""`gauntlet backtest`: versions are really trained, the policy is played, and what was trained is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import gauntlet, ok

TESTS = Path(__file__).parents[1]


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the tiny recipe: six windows, of which one is trained on and one judges the first version."""
    monkeypatch.setenv("TRAINER_RECIPE_PATH", str(TESTS))
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "trainings"))
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "model: tiny\nrecipe: support.tiny_recipe:recipe\ntraining: {windows: 1}\ncandidates: retained\n"
        "gates: {performance: {rule: superior}}\n"
    )
    return path


def test_a_policy_is_played_over_the_windows_of_its_recipe(policy: Path, tmp_path: Path) -> None:
    arguments = ("backtest", "--policy", str(policy), "--data-dir", str(tmp_path), "--metric", "log_loss", "--json")
    found = ok(*arguments).json
    assert [window["name"] for window in found["windows"]] == ["w3", "w4", "w5", "w6"]
    by_name = {row["name"]: row for row in found["contenders"]}
    assert by_name["never retrain"]["champions"] == [1, 1, 1, 1]
    assert by_name["always the newest"]["champions"] == [1, 2, 3, 4]
    least = min(row["value"] for row in found["contenders"])
    assert by_name["oracle: any retained version"]["value"] == least
    assert by_name["this policy"] == {**by_name["best of all retained, if superior"], "name": "this policy"}

    trainings = (tmp_path / "trainings").read_text()
    assert len(trainings.splitlines()) == 4
    again = ok(*arguments).json
    assert again == found
    assert (tmp_path / "trainings").read_text() == trainings, "nothing is trained twice"


def test_a_recipe_that_fails_is_told_in_its_own_words(policy: Path, tmp_path: Path) -> None:
    policy.write_text("model: tiny\nrecipe: support.tiny_recipe:raising\ntraining: {windows: 1}\n")
    ended = gauntlet("backtest", "--policy", str(policy), "--data-dir", str(tmp_path))
    assert ended.code == 1
    assert "ArithmeticError: the moon is in the wrong house" in ended.err


def test_generated_subscribers_are_made_and_forgotten(tmp_path: Path) -> None:
    arguments = ("--stream", "sudden", "--months", "5", "--users", "400", "--data-dir", str(tmp_path))
    policy = TESTS.parent / "policies" / "churn.yaml"
    shown = ok("backtest", "--policy", str(policy), *arguments).out
    assert "month_002 to month_004" in shown
    assert "oracle: the newest, or stay" in shown
    assert not list(tmp_path.rglob("month_*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nosuch",), "model 'nosuch' has no policy"),
        (("--stream", "sideways"), "there is no stream 'sideways'"),
        (("churn", "--policy", "policies/churn.yaml"), "exclude each other"),
    ],
)
def test_what_cannot_be_asked_is_said(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICIES_DIR", str(TESTS.parent / "policies"))
    ended = gauntlet("backtest", *arguments, "--data-dir", str(tmp_path))
    assert ended.code == 1
    assert said in " ".join(ended.err.split())
