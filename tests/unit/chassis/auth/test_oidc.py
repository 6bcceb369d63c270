"""Tokens of an OpenID Connect issuer, which runs here."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.auth.access import Access, access_of
from chassis.auth.identity import Identity, Method, Unauthenticated
from chassis.auth.oidc import PAUSE_SECONDS, REFRESH_SECONDS, STALE_SECONDS, OidcAuthenticator, roles_in
from chassis.errors import Permanent, Transient
from chassis.http import Problem
from chassis.settings import ServiceSettings
from support.issuer import Issuer

CLAIMS = {"realm_access": {"roles": ["approver", "ml-leads"]}}


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    with made.running():
        yield made


@pytest.fixture(scope="module")
def token(issuer: Issuer) -> str:
    return issuer.token("ann", CLAIMS)


def authenticator(issuer: Issuer, **options: Any) -> OidcAuthenticator:
    return OidcAuthenticator(issuer.url, "gauntlet", roles_claim="realm_access.roles", **options)


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = (urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims), signature


def encoded(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))


def refused(found: OidcAuthenticator, token: str) -> str:
    assert found.known(bearer(token)) is None
    with pytest.raises(Unauthenticated) as refusal:
        found.identify(bearer(token))
    assert found.known(bearer(token)) is None
    return str(refusal.value)


def test_a_token_of_the_issuer_names_who_it_is(issuer: Issuer, token: str) -> None:
    found, before = authenticator(issuer), len(issuer.paths)
    identity = Identity("ann", Method.OIDC, ("approver", "ml-leads"))
    assert found.identify(bearer(token)) == identity
    assert found.known(bearer(token)) == found.identify(bearer(token)) == identity
    assert found.identify(bearer(issuer.token("bob"))) == Identity("bob", Method.OIDC)
    keys = [path for path in issuer.paths[before:] if path in ("/.well-known/openid-configuration", "/jwks")]
    assert keys == ["/.well-known/openid-configuration", "/jwks"]


def test_another_claim_may_name_who_decides(issuer: Issuer) -> None:
    token = issuer.token("5f3c", {"employee": "ann.smith"})
    assert authenticator(issuer, subject_claim="employee").identify(bearer(token)).subject == "ann.smith"
    assert "'employer' names nobody" in refused(authenticator(issuer, subject_claim="employer"), token)


def test_a_token_for_somebody_else_is_refused(issuer: Issuer) -> None:
    assert "is for" in refused(authenticator(issuer), issuer.token("ann", CLAIMS, audience="another"))


def test_a_token_of_another_issuer_is_refused(issuer: Issuer, token: str) -> None:
    """The same server by another name, with the same keys: its document names that issuer, the token another one."""
    other = OidcAuthenticator(issuer.url.replace("localhost", "127.0.0.1"), "gauntlet")
    assert "of the issuer" in refused(other, token)


def test_a_token_is_valid_in_its_time_only(issuer: Issuer, token: str) -> None:
    clock = Clock()
    found = authenticator(issuer, clock=clock)
    clock.ahead = -3600
    assert "not valid yet" in refused(found, token)
    clock.ahead = -30  # the clocks of two machines
    assert found.identify(bearer(token)).subject == "ann"
    clock.ahead = 2 * 3600
    assert "expired" in refused(found, token)


def test_only_the_issuers_signature_counts(issuer: Issuer, token: str) -> None:
    found = authenticator(issuer)
    header, claims, _ = parts(token)
    head, body, signature = token.split(".")
    changed = encoded(header, claims | {"sub": "root"})
    flipped = "A" if signature[10] != "A" else "B"
    jwk = httpx.get(f"{issuer.url}/jwks", trust_env=False).json()["keys"][0]
    public = json.dumps(jwk).encode()
    symmetric = encoded(header | {"alg": "HS256"}, claims)
    mac = urlsafe_b64encode(hmac.digest(public, symmetric.encode(), "sha256")).decode().rstrip("=")
    for wrong, reason in [
        (f"{changed}.{signature}", "not valid"),
        (f"{head}.{body}.{signature[:10]}{flipped}{signature[11:]}", "not valid"),
        (f"{head}.{body}.", "not valid"),
        (f"{head}.{body}", "not valid"),
        (encoded(header | {"alg": "none"}, claims) + ".", "'none', which is not accepted"),
        (encoded({"alg": "None"}, claims) + ".", "'None', which is not accepted"),
        (f"{symmetric}.{mac}", "'HS256', which is not accepted"),
        (encoded(header | {"alg": "ES256"}, claims) + f".{signature}", "no key"),
        (encoded(header | {"kid": 7}, claims) + f".{signature}", ""),
        ("gauntlet_0000000000000000_" + "A" * 43, "not valid"),
        ("a.b.c", "not valid"),
    ]:
        assert reason in refused(found, wrong), wrong
    assert found.identify(bearer(token)).subject == "ann"


def test_a_key_that_was_rotated_is_fetched_and_the_old_one_is_gone() -> None:
    issuer, clock = Issuer(), Clock()
    found = authenticator(issuer, clock=clock)
    with issuer.running():
        old = issuer.token("ann")
        assert found.identify(bearer(old)).subject == "ann"
    with issuer.running():
        new, before = issuer.token("bob"), len(issuer.paths)
        assert "bad_signature" in refused(found, new)  # it has just fetched the keys
        assert len(issuer.paths) == before
        clock.ahead = PAUSE_SECONDS + 1
        assert found.identify(bearer(new)).subject == "bob"
        clock.ahead = REFRESH_SECONDS + 1  # no longer among those that were verified a short while ago
        assert "bad_signature" in refused(found, old)
        assert found.identify(bearer(new)).subject == "bob"


def test_invented_keys_make_no_traffic_at_the_issuer(issuer: Issuer, token: str) -> None:
    clock = Clock()
    found = authenticator(issuer, clock=clock)
    found.identify(bearer(token))
    header, claims, _ = parts(token)
    before = len(issuer.paths)
    for number in range(20):
        clock.ahead += 5  # 100 s in all
        refused(found, encoded(header | {"kid": f"invented-{number}"}, claims) + ".AAAA")
    assert issuer.paths[before:] == ["/.well-known/openid-configuration", "/jwks"] * 3


def test_an_issuer_that_cannot_be_reached_is_no_fault_of_the_caller() -> None:
    issuer, clock = Issuer(), Clock()
    found = authenticator(issuer, clock=clock)
    with issuer.running():
        first, second = issuer.token("ann"), issuer.token("bob")
    with pytest.raises(Transient, match="cannot be fetched"):
        found.identify(bearer(first))
    with issuer.running():
        first, second = issuer.token("ann"), issuer.token("bob")
        clock.ahead = PAUSE_SECONDS + 1
        assert found.identify(bearer(first)).subject == "ann"
    clock.ahead += REFRESH_SECONDS + 1
    assert found.identify(bearer(second)).subject == "bob"  # with the keys of before
    clock.ahead += STALE_SECONDS / 2
    header, claims, _ = parts(first)
    with pytest.raises(Transient):  # it may be a new key
        found.identify(bearer(encoded(header | {"kid": "new"}, claims) + ".AAAA"))
    clock.ahead += STALE_SECONDS
    with pytest.raises(Transient):
        found.identify(bearer(first))


def test_a_caller_learns_503_while_the_issuer_is_away_and_401_for_a_wrong_token(issuer: Issuer) -> None:
    def access(url: str) -> Access:
        return access_of(
            ServiceSettings(_env_file=None, auth="oidc", auth_oidc_issuer=url, auth_oidc_audience="gauntlet")
        )

    token = issuer.token("ann", {"roles": "viewer operator"})
    caller = asyncio.run(access(issuer.url).caller(bearer(token), "192.0.2.1"))
    assert caller.identity == Identity("ann", Method.OIDC, ("viewer", "operator"))
    with pytest.raises(Problem) as wrong:
        asyncio.run(access(issuer.url).caller(bearer(token[:-8] + "AAAAAAAA"), "192.0.2.1"))
    with pytest.raises(Problem) as away:
        asyncio.run(access(Issuer().url).caller(bearer(token), "192.0.2.1"))
    assert (wrong.value.status, away.value.status) == (401, 503)
    assert issuer.url not in away.value.detail


@pytest.mark.parametrize(
    ("claims", "claim", "roles"),
    [
        ({"roles": ["a", "b"]}, "roles", ("a", "b")),
        ({"scope": "read write"}, "scope", ("read", "write")),
        ({"a": {"b": {"c": ["x"]}}}, "a.b.c", ("x",)),
        ({"https://example.com/roles": ["x"]}, "https://example.com/roles", ("x",)),
        ({"a.b": ["whole"], "a": {"b": ["path"]}}, "a.b", ("whole",)),
        ({"roles": ["a", 7, None, ["b"]]}, "roles", ("a",)),
        ({"roles": {"admin": True}}, "roles", ()),
        ({"roles": 7}, "roles", ()),
        ({"a": "text"}, "a.b", ()),
        ({}, "roles", ()),
        ({"roles": [str(number) for number in range(1000)]}, "roles", tuple(str(number) for number in range(100))),
    ],
)
def test_roles_are_in_a_claim(claims: dict[str, Any], claim: str, roles: tuple[str, ...]) -> None:
    assert roles_in(claims, claim) == roles


@pytest.mark.parametrize("issuer", ["http://login.example.com", "ftp://localhost", "login.example.com", "https://"])
def test_an_issuer_is_https(issuer: str) -> None:
    with pytest.raises(Permanent, match="AUTH_OIDC_ISSUER"):
        OidcAuthenticator(issuer, "gauntlet")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"auth": "oidc", "auth_oidc_audience": "x"}, "AUTH=oidc needs AUTH_OIDC_ISSUER"),
        ({"auth": "oidc"}, "AUTH=oidc needs AUTH_OIDC_ISSUER and AUTH_OIDC_AUDIENCE"),
    ],
)
def test_settings_that_are_missing_are_named(given: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=named):
        ServiceSettings(_env_file=None, **given)
