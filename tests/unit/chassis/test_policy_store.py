"""The folder of policies while services run: what is taken up, what is not, and what stays in force."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis.errors import Transient
from chassis.policies import PolicyError, parse_policy
from chassis.policy_store import InForce, PolicyFile, PolicyStore, decide
from contracts.policy import ModelPolicy

THEN, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def policy(model: str, alpha: float = 0.05) -> ModelPolicy:
    return ModelPolicy.model_validate({"model": model, "gates": {"performance": {"alpha": alpha}}})


def good(name: str, model: str, alpha: float = 0.05) -> PolicyFile:
    return PolicyFile(name, model, policy(model, alpha))


def bad(name: str, model: str | None) -> PolicyFile:
    return PolicyFile(name, model, problem="broken")


OLD = {"m": InForce(policy("m"), "m.yaml", THEN)}

CASES: dict[str, tuple[list[PolicyFile], dict[str, InForce], dict[str, tuple[float, str]], list[tuple[str, bool]]]] = {
    "added": ([good("m.yaml", "m")], {}, {"m": (0.05, "m.yaml")}, []),
    "changed": ([good("m.yaml", "m", 0.01)], OLD, {"m": (0.01, "m.yaml")}, []),
    "removed": ([], OLD, {}, []),
    "renamed": ([good("n.yaml", "m")], OLD, {"m": (0.05, "n.yaml")}, []),
    "broken, never good": ([bad("m.yaml", "m"), good("n.yaml", "n")], {}, {"n": (0.05, "n.yaml")}, [("m.yaml", False)]),
    "broken, was good": ([bad("m.yaml", "m")], OLD, {"m": (0.05, "m.yaml")}, [("m.yaml", True)]),
    "broken so that it names nothing": ([bad("m.yaml", None)], OLD, {"m": (0.05, "m.yaml")}, [("m.yaml", True)]),
    "broken and renamed at once": ([bad("n.yaml", "m")], OLD, {"m": (0.05, "m.yaml")}, [("n.yaml", True)]),
    "another model's broken file": ([bad("n.yaml", "n")], OLD, {}, [("n.yaml", False)]),
    "a broken second one": (
        [bad("a.yaml", "m"), good("m.yaml", "m", 0.01)], OLD, {"m": (0.01, "m.yaml")}, [("a.yaml", False)],
    ),
    "two from the start": ([good("a.yaml", "m"), good("m.yaml", "m")], {}, {}, [("a.yaml", False), ("m.yaml", False)]),
    "a second one": (
        [good("a.yaml", "m", 0.01), good("m.yaml", "m", 0.02)],
        OLD,
        {"m": (0.05, "m.yaml")},
        [("a.yaml", True), ("m.yaml", True)],
    ),
    "the model of a file replaced": ([good("m.yaml", "n")], OLD, {"n": (0.05, "m.yaml")}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_in_force(
    case: tuple[list[PolicyFile], dict[str, InForce], dict[str, tuple[float, str]], list[tuple[str, bool]]],
) -> None:
    files, before, expected, problems = case
    found, wrong = decide(files, before, NOW)

    def alpha(each: InForce) -> float:
        assert each.policy.gates.performance
        return each.policy.gates.performance.alpha

    assert {model: (alpha(each), each.file) for model, each in found.items()} == expected
    assert [(problem.file, problem.kept) for problem in wrong] == problems


def test_one_that_is_unchanged_has_been_in_force_since_it_was_taken_up() -> None:
    found, _ = decide([good("m.yaml", "m")], OLD, NOW)
    assert found["m"].since == THEN
    assert decide([good("m.yaml", "m", 0.01)], OLD, NOW)[0]["m"].since == NOW


def alpha_of(store: PolicyStore, model: str) -> float | None:
    found = store.get(model)
    return found.gates.performance.alpha if found and found.gates.performance else None


def text(model: str, alpha: float) -> str:
    return f"model: {model}\ngates: {{performance: {{alpha: {alpha}}}}}\n"


def test_a_file_is_taken_up_at_the_second_look_that_finds_it_so(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path)
    file = tmp_path / "m.yaml"
    file.write_text(text("m", 0.01))
    store.look()
    assert "m" not in store
    store.look()
    assert alpha_of(store, "m") == 0.01
    file.write_text(text("m", 0.02))
    store.look()
    assert alpha_of(store, "m") == 0.01
    store.look()
    assert alpha_of(store, "m") == 0.02
    file.unlink()
    store.look()
    assert alpha_of(store, "m") == 0.02, "an editor may have moved it away for a moment"
    store.look()
    assert "m" not in store and len(store) == 0


def test_a_file_that_is_being_written_never_takes_effect(tmp_path: Path) -> None:
    """Most beginnings of a policy are valid policies themselves."""
    (tmp_path / "m.yaml").write_text(text("m", 0.04))
    store, whole = PolicyStore(tmp_path), text("m", 0.012345)
    for end in range(len(whole) + 1):
        (tmp_path / "m.yaml").write_text(whole[:end])
        store.look()
        assert (alpha_of(store, "m"), store.problems) == (0.04, ())
    store.look()
    assert (alpha_of(store, "m"), store.problems) == (0.012345, ())


def test_an_editor_that_moves_the_file_away_and_writes_it_anew_changes_nothing_in_between(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(text("m", 0.01))
    store = PolicyStore(tmp_path)
    file.rename(tmp_path / "m.yaml~")
    (tmp_path / ".m.yaml.swp").write_bytes(b"b0VIM")
    (tmp_path / ".#m.yaml").symlink_to("user@host.1234")
    (tmp_path / "#m.yaml#").write_text("model: [")
    (tmp_path / ".m.yaml").write_text(text("m", 0.4))
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    store.look()
    assert alpha_of(store, "m") == 0.01
    file.write_text(text("m", 0.02))
    store.look()
    store.look()
    assert (alpha_of(store, "m"), store.problems) == (0.02, ())


def test_a_broken_file_disables_only_its_own_model_and_the_last_good_one_stays(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("model: good\n")
    (tmp_path / "bad.yaml").write_text("model: bad\nmetrik: mae\n")
    store = PolicyStore(tmp_path)
    assert list(store) == ["good"]
    [problem] = store.details()["problems"]
    assert (problem["file"], problem["model"], problem["kept"]) == ("bad.yaml", "bad", False)
    assert "bad.yaml:2: metrik: unknown key 'metrik'; did you mean 'metric'?" in problem["reason"]
    assert "did you mean 'metric'" in store.why_missing("bad")
    (tmp_path / "bad.yaml").write_text(text("bad", 0.01))
    (tmp_path / "good.yaml").write_text("model: [\n")
    store.look()
    store.look()
    assert sorted(store) == ["bad", "good"] and alpha_of(store, "bad") == 0.01
    assert [(each.file, each.kept) for each in store.problems] == [("good.yaml", True)]
    assert store.details()["in_force"]["good"]["digest"] == store["good"].digest


def test_two_models_in_a_file_are_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("model: a\n---\nmodel: b\n")
    (tmp_path / "n.yaml").write_text("model: c\nmodel: d\n")
    store = PolicyStore(tmp_path)
    assert not store
    first, second = (problem.reason for problem in store.problems)
    assert "m.yaml:3: a second policy begins here" in first
    assert "n.yaml:2: key 'model' is there a second time" in second


def test_a_model_in_two_files_names_both_and_keeps_the_one_that_was_first(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(text("m", 0.01))
    store = PolicyStore(tmp_path)
    (tmp_path / "a.yaml").write_text(text("m", 0.4))
    for _ in range(4):
        store.look()
        assert alpha_of(store, "m") == 0.01
    assert "model 'm' is named in 2 files (a.yaml, m.yaml)" in store.problems[0].reason
    assert not PolicyStore(tmp_path), "none is chosen by chance"
    assert "2 files" in PolicyStore(tmp_path).why_missing("m")
    (tmp_path / "m.yaml").unlink()
    store.look()
    store.look()
    assert (alpha_of(store, "m"), store.problems) == (0.4, ())


def test_a_folder_that_vanishes_changes_nothing_and_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "m.yaml").write_text("model: m\n")
    store = PolicyStore(folder)
    folder.rename(tmp_path / "away")
    for _ in range(3):
        store.look()
    assert list(store) == ["m"]
    [problem] = store.details()["problems"]
    assert f"{folder}/, does not exist" in problem["reason"] and problem["kept"]
    (tmp_path / "away").rename(folder)
    store.look()
    assert store.details()["problems"] == []


def test_a_required_folder_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "policies")
    with pytest.raises(Transient, match="policies/, does not exist"):
        asyncio.run(store.start())
    assert PolicyStore(tmp_path / "policies", required=False).details()["problems"] == []


def test_the_sentence_of_a_model_without_a_policy_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policies").mkdir()
    said = PolicyStore(tmp_path / "policies").why_missing("churn")
    assert said == ("model 'churn' has no policy in policies/; add policies/churn.yaml, beginning with `model: churn`")
    monkeypatch.chdir("/usr")
    assert f"no policy in {tmp_path}/policies/;" in PolicyStore(tmp_path / "policies").why_missing("churn")


def test_hooks_are_called_once_for_each_change_in_force(tmp_path: Path) -> None:
    store, calls = PolicyStore(tmp_path), []
    store.on_change(lambda: calls.append(sorted(store)))
    (tmp_path / "m.yaml").write_text("model: m\n")
    for _ in range(3):
        store.look()
    (tmp_path / "m.yaml").write_text("model: [\n")
    for _ in range(3):
        store.look()
    assert calls == [["m"]]


def test_a_change_within_the_clock_of_the_file_system_is_seen(tmp_path: Path) -> None:
    """The same size, and a time of change that did not move: only the content differs."""
    file = tmp_path / "m.yaml"
    file.write_text(text("m", 0.01))
    store = PolicyStore(tmp_path)
    status = file.stat()
    with file.open("r+") as opened:
        opened.write(text("m", 0.02))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    store.look()
    store.look()
    assert alpha_of(store, "m") == 0.02


WHATEVER = {
    "a date that is none": b"model: m\nx: 2025-13-45\n",
    "a number": b"model: 7\n",
    "numbers as keys": b"1: 2\nmodel: m\n",
    "a list as key": b"? [a]\n: b\n",
    "deep": b"model: m\nx: " + b"[" * 5000,
    "a duration beyond all time": b"model: m\ndrift: {cooldown: 999999999999999999d}\n",
    "not utf-8": b"model: \xff\n",
    "zeros": b"\0" * 10,
    "large": b"#" * 2_000_000,
    "a tag": b"model: !!python/object:os.system {}\n",
    "an alias to itself": b"model: &m [*m]\n",
    "an undefined alias": b"model: *m\n",
    "infinity": b"model: m\ngates: {performance: {alpha: .inf}}\n",
    "not a number": b"model: m\ngates: {performance: {alpha: .nan}}\n",
    "a bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nmodel: *b\n",
}


@pytest.mark.parametrize("content", WHATEVER.values(), ids=WHATEVER.keys())
def test_whatever_is_in_a_file_is_a_sentence(content: bytes) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(content, Path("m.yaml"))
    assert str(refused.value).startswith("m.yaml") and len(str(refused.value)) < 2000


def test_no_damage_to_a_file_ends_a_service() -> None:
    shipped = (Path(__file__).parents[3] / "policies" / "flights-delay.yaml").read_bytes()
    source = random.Random(12)
    for _ in range(300):
        damaged = bytearray(shipped)
        for _ in range(source.randint(1, 5)):
            place = source.randrange(len(damaged))
            match source.randrange(3):
                case 0:
                    damaged[place] = source.randrange(256)
                case 1:
                    del damaged[place : place + source.randrange(20)]
                case _:
                    damaged[place:place] = source.choice([b"\n", b": ", b"[", b"{", b"- ", b"&a ", b"\t", b"!!int "])
        try:
            parse_policy(bytes(damaged), Path("m.yaml"))
        except PolicyError:
            pass


def test_a_byte_order_mark_is_no_part_of_the_policy() -> None:
    assert parse_policy(b"\xef\xbb\xbfmodel: m\n", Path("m.yaml")).model == "m"
