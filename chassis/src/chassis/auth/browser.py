"""What keeps web pages of others away from a service: the Host header on everything, Origin and media type on what
changes something. Also while authentication is off: a page in a browser on this machine reaches its loopback address.

A page whose name is made to resolve to this address (DNS rebinding) sends its own name as Host. A page that posts to
us sends its own Origin; without one it can only send the media types of forms, which no endpoint here takes but those
below the path of our own pages, and these only with our own Origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.http import Problem, problem_response

LOOPBACK = ("localhost", "127.0.0.1", "::1")
WILDCARDS = ("0.0.0.0", "::", "")
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FORMS = (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data")
"""What a page may send anywhere without permission (`CORS-safelisted request-header`)."""
SHOWN = 100


class BrowserGuard:
    """An ASGI application that refuses what a foreign web page could have sent, and passes on everything else."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str], *, forms: str | None = None) -> None:
        """`hosts`: names without port, `*.example.com` for all below, `*` for any. `origins`: scheme://host[:port].

        `forms`: the path below which our own pages send forms; None: there are none.
        """
        self._app = app
        self._forms = forms
        allowed = {host.lower().rstrip(".") for host in hosts}
        self._any = "*" in allowed
        self._below = tuple(host[1:] for host in allowed if host.startswith("*."))
        self._hosts = allowed
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._seen: set[bytes] = set()  # Host headers that were allowed; bounded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self.refusal(scope)) is not None:
            await problem_response(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def refusal(self, scope: Scope) -> Problem | None:
        host = origin = media_type = None
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    return Problem(400, "bad request", "two Host headers")
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"content-type":
                media_type = value
        if host not in self._seen and not self._known(host, scope):
            shown = ascii((host or b"").decode("latin-1"))[:SHOWN]
            return Problem(421, "unknown host", f"header Host is {shown}; the names of this service are ALLOWED_HOSTS")
        if scope["method"] in SAFE:
            return None
        if origin is not None and not self._same(origin, host or b""):
            shown = ascii(origin.decode("latin-1"))[:SHOWN]
            return Problem(403, "foreign origin", f"header Origin is {shown}; pages that may call are ALLOWED_ORIGINS")
        if media_type is not None and media_type.split(b";", 1)[0].strip().lower() in FORMS:
            if self._forms is None or not scope["path"].startswith(self._forms):
                return unsupported(media_type)
            if origin is None:  # every browser sends it with a form that changes something
                return Problem(403, "foreign origin", "a form needs the header Origin: send it from our own page")
        return None

    def _known(self, header: bytes | None, scope: Scope) -> bool:
        if header is None:
            return self._any
        host = _name(header.decode("latin-1"))
        server: Sequence[object] = scope.get("server") or ("",)
        if host == server[0]:
            return True  # the address that was connected to: no name that somebody else could make resolve to it
        if not (self._any or host in self._hosts or host.endswith(self._below)):
            return False
        if len(self._seen) < 100:
            self._seen.add(header)
        return True

    def _same(self, origin: bytes, host: bytes) -> bool:
        text = origin.decode("latin-1").lower()
        _, _, rest = text.partition("://")
        return text in self._origins or (bool(rest) and rest == host.decode("latin-1").lower())


def unsupported(media_type: bytes | None) -> Problem:
    """Return the problem of a body that is not application/json."""
    shown = ascii((media_type or b"").decode("latin-1"))[:SHOWN]
    detail = f"header Content-Type is {shown}; send the body as application/json"
    return Problem(415, "unsupported media type", detail)


def is_json(media_type: bytes | None) -> bool:
    kind = (media_type or b"").split(b";", 1)[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def allowed_hosts(host: str, configured: str) -> tuple[str, ...]:
    """Return the names of a service that listens on `host`: loopback, that address, and ALLOWED_HOSTS."""
    own = () if host in WILDCARDS else (host,)
    return (*LOOPBACK, *own, *listed(configured))


def listed(text: str) -> tuple[str, ...]:
    """Return the items of a comma-separated setting."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _name(header: str) -> str:
    """Return the name of a Host header: without port, brackets and a final dot."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower().rstrip(".")
