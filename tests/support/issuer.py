"""A real OpenID Connect issuer on loopback: oidc-provider-mock, with a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
from werkzeug.serving import make_server

from support.processes import free_port

REDIRECT = "http://localhost/callback"


@dataclass
class Issuer:
    """`paths`: of the requests that it answered, in their order."""

    port: int = field(default_factory=free_port)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it. Each run has new keys: an issuer that is run again has rotated them."""
        app = oidc_provider_mock.app()
        inner = app.wsgi_app

        def counted(environ: Any, start: Any) -> Any:
            self.paths.append(environ["PATH_INFO"])
            return inner(environ, start)

        app.wsgi_app = counted  # type: ignore[method-assign]
        server = make_server("localhost", self.port, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def token(self, subject: str, claims: Mapping[str, Any] | None = None, audience: str = "gauntlet") -> str:
        """Log in by the authorization code flow, as a person of these claims; return the ID token."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            client.put(f"/users/{subject}", json=dict(claims or {})).raise_for_status()
            query = {"client_id": audience, "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid"}
            answer = client.post("/oauth2/authorize", params=query, data={"sub": subject})
            [code] = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
            body = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
            made = client.post("/oauth2/token", data=body, auth=(audience, "any"))
            token: str = made.raise_for_status().json()["id_token"]
            return token
