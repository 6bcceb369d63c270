"""Tokens of an OpenID Connect issuer: signed JWTs, verified with the keys that the issuer publishes."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chassis.auth.browser import LOOPBACK
from chassis.auth.identity import Identity, Method, Unauthenticated, bearer
from chassis.auth.verified import Verified, VerifiedTokens
from chassis.errors import Permanent, Transient
from chassis.telemetry import get_logger

if TYPE_CHECKING:
    from joserfc.jwk import Key

ALGORITHMS: Mapping[str, str] = {
    **{f"{family}{bits}": "RSA" for family in ("RS", "PS") for bits in (256, 384, 512)},
    **{f"ES{bits}": "EC" for bits in (256, 384, 512)},
    "EdDSA": "OKP",
    "Ed25519": "OKP",
}
"""Signatures that are accepted, and the type of their keys: asymmetric ones only. With HS256, whoever knows the
issuer's public key could make tokens; with none, everybody could."""

CLOCK_SKEW = 60.0
VERIFIED_SECONDS = 300.0
"""For how long a verified token is accepted without looking at the keys again; never beyond its `exp`."""
REFRESH_SECONDS = 600.0
PAUSE_SECONDS = 30.0
"""Shortest time between two fetches of the keys: a token with an invented key id makes no traffic at the issuer."""
STALE_SECONDS = 3600.0
"""For how long keys are used while the issuer cannot be reached."""
FETCH_SECONDS = 5.0
LARGEST_DOCUMENT = 1024 * 1024
MOST_ROLES = 100
DISCOVERY = "/.well-known/openid-configuration"

log = get_logger(__name__)


class OidcAuthenticator:
    """Callers by an issuer's tokens. `roles_claim`: a dotted path, or the claim's whole name."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        roles_claim: str = "roles",
        subject_claim: str = "sub",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises Permanent for an issuer whose documents could be exchanged on their way."""
        _require_secure(issuer, "AUTH_OIDC_ISSUER")
        self._issuer, self._audience = issuer, audience
        self._roles, self._subject = roles_claim, subject_claim
        self._clock = clock
        self._keys = IssuerKeys(issuer, clock)
        self._verified: VerifiedTokens[None] = VerifiedTokens(clock)

    def known(self, authorization: bytes) -> Identity | None:
        found = self._verified.get(authorization)
        return None if found is None else found.identity

    def identify(self, authorization: bytes | None) -> Identity:
        if authorization is not None and (known := self.known(authorization)) is not None:
            return known
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, JoseError
        from joserfc.jws import extract_compact

        token = bearer(authorization)
        try:
            header = extract_compact(token).headers()
            algorithm, key_id = header.get("alg"), header.get("kid")
            if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
                raise Unauthenticated(f"the token is signed with {str(algorithm)[:20]!r}, which is not accepted")
            if key_id is not None and not isinstance(key_id, str):
                raise Unauthenticated("the token's key id is no text")
            key = self._keys.find(key_id, algorithm)
            try:
                claims = jwt.decode(token, key, algorithms=[algorithm]).claims
            except BadSignatureError:
                if key_id is not None or not self._keys.refresh():
                    raise  # a token without key id may be of a newer key than the only one there was
                claims = jwt.decode(token, self._keys.find(None, algorithm), algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise Unauthenticated(f"the token is not valid: {type(error).__name__}: {error}") from None
        identity, expires = self._identity(claims)
        assert authorization is not None
        until = min(expires + CLOCK_SKEW, self._clock() + VERIFIED_SECONDS)
        self._verified.add(authorization, Verified(identity, until, None))
        return identity

    def _identity(self, claims: Mapping[str, Any]) -> tuple[Identity, float]:
        """Return the caller, and when the token expires, in seconds since the epoch. Raises Unauthenticated."""
        now = self._clock()
        if claims.get("iss") != self._issuer:
            raise Unauthenticated(f"the token is of the issuer {str(claims.get('iss'))[:200]!r}")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self._audience not in audiences:
            raise Unauthenticated(f"the token is for {str(audience)[:200]!r}")
        expires = _seconds(claims, "exp")
        if expires is None:
            raise Unauthenticated("the token has no time from which on it is invalid (exp)")
        if expires + CLOCK_SKEW <= now:
            raise Unauthenticated("the token has expired")
        for claim in ("nbf", "iat"):
            begins = _seconds(claims, claim)
            if begins is not None and begins - CLOCK_SKEW > now:
                raise Unauthenticated(f"the token is not valid yet ({claim})")
        subject = claims.get(self._subject)
        if not isinstance(subject, str) or not 0 < len(subject) <= 200 or not subject.isprintable():
            raise Unauthenticated(f"the token's claim {self._subject!r} names nobody")
        return Identity(subject, Method.OIDC, roles_in(claims, self._roles)), expires


class IssuerKeys:
    """The public keys of an issuer: fetched at first use, every ten minutes, and for a key id that is not known."""

    def __init__(self, issuer: str, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: Sequence[Key] = ()
        self._fetched = self._tried = float("-inf")
        self._fetching = threading.Lock()

    def find(self, key_id: str | None, algorithm: str) -> Key:
        """Return the key. Raises Unauthenticated without one; Transient when the keys cannot be fetched."""
        if self._clock() - self._fetched > REFRESH_SECONDS:
            self.refresh()
        key = self._known(key_id, algorithm)
        if key is None and self.refresh():
            key = self._known(key_id, algorithm)
        if self._clock() - self._fetched > STALE_SECONDS:
            raise Transient(f"the keys of {self._issuer} cannot be fetched")
        if key is None and self._fetched < self._tried:  # the newest attempt failed: it may be a new key
            raise Transient(f"the keys of {self._issuer} cannot be fetched, and {str(key_id)[:100]!r} is not known")
        if key is None:
            raise Unauthenticated(f"the issuer has no key {str(key_id)[:100]!r} for {algorithm}")
        return key

    def _known(self, key_id: str | None, algorithm: str) -> Key | None:
        fitting = [
            key
            for key in self._keys
            if key.key_type == ALGORITHMS[algorithm]
            and key.get("use") in (None, "sig")
            and key.get("alg") in (None, algorithm)
            and (key_id is None or key.get("kid") == key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def refresh(self) -> bool:
        """Fetch the keys, unless that was just tried. Returns whether they were fetched now; logs why they were not."""
        with self._fetching:
            now = self._clock()
            if now - self._tried < PAUSE_SECONDS:
                return False
            self._tried = now
            try:
                self._keys = self._fetch()
            except Transient as error:
                log.warning("keys of the issuer not fetched", issuer=self._issuer, error=str(error))
                return False
            self._fetched = now
            return True

    def _fetch(self) -> Sequence[Key]:
        """Raises Transient."""
        from joserfc.errors import JoseError
        from joserfc.jwk import JWKRegistry

        url = self._issuer.rstrip("/") + DISCOVERY
        discovered = _get_json(url)
        if discovered.get("issuer") != self._issuer:
            raise Transient(f"{url} is of another issuer, {str(discovered.get('issuer'))[:200]!r}")
        address = discovered.get("jwks_uri")
        if not isinstance(address, str):
            raise Transient(f"{url} names no jwks_uri")
        try:
            _require_secure(address, f"jwks_uri of {url}")
        except Permanent as error:
            raise Transient(str(error)) from error
        listed = _get_json(address).get("keys")
        found: list[Key] = []
        for each in listed if isinstance(listed, list) else []:
            if not isinstance(each, dict) or each.get("kty") not in ALGORITHMS.values():
                continue
            try:
                found.append(JWKRegistry.import_key({name: each[name] for name in each if name != "key_ops"}))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                log.warning("a key of the issuer cannot be used", issuer=self._issuer, error=str(error))
        if not found:
            raise Transient(f"{address} has no key that can be used")
        return found


def roles_in(claims: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    """Return the roles of a claim: a list of texts, or one text of names with spaces between; none if it is missing.

    A claim whose whole name is `claim` is taken before a path: some issuers have URLs as names.
    """
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for step in claim.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        value = value.split()
    return tuple(role for role in value if isinstance(role, str))[:MOST_ROLES] if isinstance(value, list) else ()


def _seconds(claims: Mapping[str, Any], claim: str) -> float | None:
    value = claims.get(claim)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
        raise Unauthenticated(f"the token's {claim} is no time")
    return float(value)


def _require_secure(url: str, what: str) -> None:
    """Raises Permanent unless the URL is https, or http on loopback."""
    parts = urlsplit(url)
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return
    raise Permanent(f"{what} is {url!r}: it must begin with https:// (http:// only on loopback)")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Documents of an issuer are where it says: a redirect could lead to an address that is not secure."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _get_json(url: str) -> Mapping[str, Any]:
    """Raises Transient."""
    try:
        with _opener.open(url, timeout=FETCH_SECONDS) as response:
            content = response.read(LARGEST_DOCUMENT + 1)
        if len(content) > LARGEST_DOCUMENT:
            raise Transient(f"{url}: over {LARGEST_DOCUMENT:,} bytes")
        value = json.loads(content)
    except (OSError, ValueError) as error:
        raise Transient(f"{url}: {error}") from error
    if not isinstance(value, dict):
        raise Transient(f"{url} holds no JSON object")
    return value
