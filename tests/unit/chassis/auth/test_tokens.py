"""The file of tokens, and who a token belongs to."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.auth import tokens, verified
from chassis.auth.failures import FAILURES, MOST_ADDRESSES, FailureLimit
from chassis.auth.identity import Identity, Method, Unauthenticated
from chassis.auth.roles import Action, Role, Rule, permitted
from chassis.auth.tokens import TOKEN, TokenAuthenticator, create_token, parse_tokens, read_tokens, revoke_token
from chassis.auth.verified import Verified, VerifiedTokens
from chassis.errors import NotFound, Permanent
from chassis.watched_file import WatchedFile
from chassis.yaml_file import YamlError


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.yaml"


def authenticator(path: Path) -> tuple[TokenAuthenticator, Callable[[], None]]:
    """With it, what takes up a change: two looks."""
    file = WatchedFile(path, parse_tokens, "tokens")
    return TokenAuthenticator(file), lambda: (file.look(), file.look())[1]


def test_a_token_names_its_subject_and_roles(path: Path) -> None:
    token = create_token(path, "ann-laptop", [Role.VIEWER, Role.APPROVER], subject="ann")
    assert TOKEN.fullmatch(token.encode())
    found, _ = authenticator(path)
    assert found.known(bearer(token)) is None
    assert found.identify(bearer(token)) == Identity("ann", Method.TOKEN, ("viewer", "approver"))
    assert found.known(bearer(token)) == found.identify(f"bearer  {token} ".encode())


def test_the_file_holds_no_token_and_is_its_owners(path: Path) -> None:
    token = create_token(path, "ci", [Role.OPERATOR])
    other = create_token(path, "ci-2", [Role.OPERATOR])
    text = path.read_text()
    assert token.rsplit("_", 1)[1] not in text
    assert other.split("_", 2)[2] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = read_tokens(path)
    assert first.salt != second.salt
    assert first.subject == "ci"
    assert [each.name for each in path.parent.iterdir() if each.name.endswith(".yaml")] == ["tokens.yaml"]


def test_expired_revoked_and_unknown_tokens_are_refused_at_once(path: Path) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = create_token(path, "old", [Role.ADMIN], expires=past)
    token = create_token(path, "ci", [Role.ADMIN])
    found, again = authenticator(path)
    assert found.identify(bearer(token)).subject == "ci"
    assert revoke_token(path, "ci").revoked is not None
    again()
    stranger = token[:-3] + "AAA"
    no_such_id = "gauntlet_" + "0" * 16 + token[25:]
    for wrong in (expired, token, stranger, no_such_id, "gauntlet_", "", "x" * 100_000):
        assert found.known(bearer(wrong)) is None
        with pytest.raises(Unauthenticated):
            found.identify(bearer(wrong))
    for header in (None, b"", b"Basic abc", b"Bearer", token.encode()):
        with pytest.raises(Unauthenticated):
            found.identify(header)


def test_an_unknown_id_costs_what_a_known_one_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash each, of as many bytes: how long a refusal takes does not show which ids exist."""
    token, revoked = create_token(path, "ci", []), create_token(path, "gone", [])
    old = create_token(path, "old", [], expires=datetime.now(UTC) - timedelta(seconds=1))
    revoke_token(path, "gone")
    found, _ = authenticator(path)
    hashed: list[tuple[int, int]] = []
    real = tokens._hash
    monkeypatch.setattr(
        tokens, "_hash", lambda salt, secret: (hashed.append((len(salt), len(secret))), real(salt, secret))[1]
    )
    for wrong in ("gauntlet_" + "0" * 16 + token[25:], token[:-3] + "AAA", revoked, old):
        with pytest.raises(Unauthenticated):
            found.identify(bearer(wrong))
    assert hashed == [(32, 43)] * 4


def test_a_change_of_roles_holds_for_a_token_that_was_verified_before(path: Path) -> None:
    token = create_token(path, "ci", [Role.ADMIN])
    found, again = authenticator(path)
    assert found.identify(bearer(token)).roles == ("admin",)
    path.write_text(path.read_text().replace("- admin", "- viewer"))
    again()
    assert found.known(bearer(token)) is None
    assert found.identify(bearer(token)).roles == ("viewer",)


def test_a_token_expires_while_it_is_cached() -> None:
    now = [1000.0]
    cache: VerifiedTokens[None] = VerifiedTokens(lambda: now[0])
    cache.add(b"Bearer t", Verified(Identity("ann", Method.TOKEN), 1010.0, None))
    assert cache.get(b"Bearer t") is not None
    now[0] = 1010.0
    assert cache.get(b"Bearer t") is None


def test_the_cache_holds_no_token_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "MOST", 3)
    cache: VerifiedTokens[None] = VerifiedTokens()
    for number in range(5):
        cache.add(b"Bearer %d" % number, Verified(Identity("ann", Method.TOKEN), float("inf"), None))
    assert [cache.get(b"Bearer %d" % number) is not None for number in range(5)] == [False, False, True, True, True]
    assert not any(b"Bearer" in key for key in cache._found)
    other: VerifiedTokens[None] = VerifiedTokens()
    other.add(b"Bearer 4", Verified(Identity("ann", Method.TOKEN), float("inf"), None))
    assert not other._found.keys() & cache._found.keys()  # the key of the digest is each process's own


def test_a_file_that_breaks_or_goes_changes_nothing(path: Path) -> None:
    token = create_token(path, "ci", [Role.ADMIN])
    file = WatchedFile(path, parse_tokens, "tokens")
    found, good = TokenAuthenticator(file), path.read_bytes()
    path.write_text("tokens: [")
    file.look()
    file.look()
    assert found.identify(bearer(token)).subject == "ci"
    assert "tokens.yaml" in file.details()["problem"]
    path.unlink()
    file.look()
    file.look()
    assert found.identify(bearer(token)).subject == "ci"
    path.write_bytes(good)
    file.look()
    file.look()
    assert file.details()["problem"] is None


def test_a_service_does_not_start_without_a_usable_file(path: Path) -> None:
    with pytest.raises(Permanent, match=r"tokens\.yaml: No such file"):
        WatchedFile(path, parse_tokens, "tokens")
    path.write_text("tokens:\n- name: ci\n  roles: [owner]\n")
    with pytest.raises(YamlError) as refused:
        WatchedFile(path, parse_tokens, "tokens")
    assert f"{path}:3: tokens.0.roles.0" in str(refused.value)
    assert "'owner'" in str(refused.value)


def test_a_name_is_one_token_s(path: Path) -> None:
    create_token(path, "ci", [])
    with pytest.raises(Permanent, match="already"):
        create_token(path, "ci", [])
    with pytest.raises(NotFound):
        revoke_token(path, "cd")
    twice = path.read_text().split("tokens:\n")[1]
    path.write_text(f"tokens:\n{twice}{twice}")
    with pytest.raises(YamlError, match="two tokens have the name 'ci'"):
        read_tokens(path)


def test_failures_are_limited_by_address_in_bounded_memory() -> None:
    now = [0.0]
    limit = FailureLimit(lambda: now[0])
    for _ in range(FAILURES):
        assert limit.wait("192.0.2.1") == 0
        limit.count("192.0.2.1")
    assert limit.wait("192.0.2.1") == 60
    assert limit.wait("192.0.2.2") == 0
    now[0] = 60.0
    assert limit.wait("192.0.2.1") == 0
    for number in range(FAILURES):
        limit.count(f"2001:db8:1:2::{number:x}")
    assert limit.wait("2001:db8:1:2:ffff::1") > 0
    assert limit.wait("2001:db8:1:3::1") == 0
    for number in range(MOST_ADDRESSES + 10):
        limit.count(f"host-{number}")
    assert len(limit) == MOST_ADDRESSES


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
    path: Path, models: tuple[str, ...], model: str | None, may: bool
) -> None:
    token = create_token(path, "ci", [Role.OPERATOR], models=models)
    identity = authenticator(path)[0].identify(bearer(token))
    rules = [Rule(Role.OPERATOR, ("role:operator",)), Rule(Role.ADMIN, ("ci",))]
    assert (permitted(rules, identity, Action.OPERATE, model) is None) == may
