"""The file of tokens: what is kept, who is found by it, and what is refused."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.auth.identity import Identity, Method, Unauthenticated
from chassis.auth.roles import Action, Role, Rule, permitted
from chassis.auth.token_file import Created, changing_tokens, find, new_token, read_tokens
from chassis.errors import Permanent

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def made(name: str = "ci", models: tuple[str, ...] = ("*",), expires: datetime | None = None) -> Created:
    return new_token(name, [Role.OPERATOR], models, NOW, expires)


def stored(path: Path, *tokens: Created) -> Path:
    with changing_tokens(path) as found:
        found.update({each.token.id: each.token for each in tokens})
    return path


def test_a_token_is_found_by_what_its_holder_presents(tmp_path: Path) -> None:
    ci, other = made(), made("other")
    tokens = read_tokens(stored(tmp_path / "tokens.json", ci, other))
    assert find(tokens, ci.text, NOW) == ci.token
    assert ci.token.identity() == Identity("ci", Method.TOKEN, ("operator",))


def test_the_file_is_private_and_has_no_token_in_it(tmp_path: Path) -> None:
    ci = made()
    path = stored(tmp_path / "new" / "tokens.json", ci)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = ci.text.removeprefix(f"gauntlet_{ci.token.id}_")
    assert secret not in path.read_text()
    assert secret not in repr(ci) and ci.token.hash not in repr(ci)
    assert [each.name for each in path.parent.iterdir() if each.suffix != ".lock"] == ["tokens.json"]


def test_equal_secrets_would_have_other_hashes() -> None:
    first, second = made(), made()
    assert first.token.salt != second.token.salt and first.token.hash != second.token.hash


@pytest.mark.parametrize(
    "presented",
    ["", "gauntlet_", "gauntlet_000000000000_" + "x" * 43, "secret", "gauntlet_zzzzzzzzzzzz_" + "x" * 43],
)
def test_what_is_no_token_of_the_file_is_nobody(presented: str) -> None:
    ci = made()
    with pytest.raises(Unauthenticated):
        find({ci.token.id: ci.token}, presented, NOW)


def test_a_wrong_secret_is_nobody_and_the_reason_does_not_show_it() -> None:
    ci, other = made(), made()
    secret = other.text[-43:]
    with pytest.raises(Unauthenticated, match="wrong secret") as refused:
        find({ci.token.id: ci.token}, f"gauntlet_{ci.token.id}_{secret}", NOW)
    assert secret not in str(refused.value)


def test_a_token_is_valid_until_it_expires() -> None:
    ci = made(expires=NOW + timedelta(days=1))
    tokens = {ci.token.id: ci.token}
    assert find(tokens, ci.text, NOW + timedelta(hours=23)).name == "ci"
    with pytest.raises(Unauthenticated, match="expired at 2026-12-01 12:00"):
        find(tokens, ci.text, NOW + timedelta(days=1))


def test_two_tokens_of_one_name_are_valid_at_once_so_that_one_can_replace_the_other(tmp_path: Path) -> None:
    old, new = made(), made()
    path = stored(tmp_path / "tokens.json", old, new)
    with changing_tokens(path) as tokens:
        del tokens[old.token.id]
    tokens = read_tokens(path)
    assert find(tokens, new.text, NOW).name == "ci"
    with pytest.raises(Unauthenticated, match="revoked"):
        find(tokens, old.text, NOW)


@pytest.mark.parametrize("name", ["", "*", "role:admin", "a b", "x" * 101, "-x", "ci\n"])
def test_a_name_is_no_pattern_and_no_role(name: str) -> None:
    with pytest.raises(Permanent, match="name"):
        made(name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file: Invalid JSON"),
        ("[]", "the file"),
        ('{"format": 2}', "format"),
        ('{"tokens": [{"name": "ci"}]}', "tokens.0.roles"),
        ('{"tokens": [], "more": 1}', "more"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Permanent, match=said):
        read_tokens(path)


def test_an_error_in_the_file_does_not_show_a_hash(tmp_path: Path) -> None:
    path = stored(tmp_path / "tokens.json", made())
    document = json.loads(path.read_text())
    document["tokens"][0]["hash"] = "0123456789abcdef"
    path.write_text(json.dumps(document))
    with pytest.raises(Permanent, match=r"tokens\.0\.hash") as refused:
        read_tokens(path)
    assert "0123456789abcdef" not in str(refused.value)


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "tokens.json", made())
    path.chmod(0o660)
    with pytest.raises(Permanent, match="chmod 600"):
        read_tokens(path)


def test_a_missing_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="gauntlet token create"):
        read_tokens(tmp_path / "tokens.json")


@pytest.mark.parametrize(
    ("models", "model", "may"),
    [
        (("*",), "flights-delay", True),
        (("*",), None, True),
        (("flights-*",), "flights-delay", True),
        (("flights-*", "churn"), "churn", True),
        (("flights-*",), "churn", False),
        (("flights-*",), None, False),
    ],
)
def test_a_token_is_for_its_models_whatever_the_rules_grant(
    models: tuple[str, ...], model: str | None, may: bool
) -> None:
    rules = [Rule(Role.OPERATOR, ("role:operator",)), Rule(Role.ADMIN, ("ci",))]
    refused = permitted(rules, made(models=models).token.identity(), Action.OPERATE, model)
    assert (refused is None) == may
