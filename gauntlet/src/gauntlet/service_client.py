"""HTTP client of the services for the commands: JSON in, JSON out, every failure a CliError."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx

from gauntlet.credentials import Credential, credential_for, headers_of
from gauntlet.endpoints import Address, service
from gauntlet.errors import CliError

TIMEOUT = httpx.Timeout(30.0, connect=3.0)
LONG_TIMEOUT = httpx.Timeout(600.0, connect=3.0)
"""For requests that the service has to compute or store first."""


class ServiceError(CliError):
    """The service responded with an error; `status` and `problem` (RFC 9457) are from its response."""

    def __init__(self, message: str, hint: str | None, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(message, hint)
        self.status, self.problem = status, problem


class ServiceClient:
    """Calls the service at `address`. Raises CliError when it is unavailable, ServiceError for an error response.

    A service of ours is presented `credential`, else the caller's token for that address unless `stored` is False.
    """

    def __init__(
        self,
        address: Address,
        timeout: httpx.Timeout = TIMEOUT,
        auth: tuple[str, str] | None = None,
        credential: Credential | None = None,
        *,
        stored: bool = True,
    ) -> None:
        self.address = address
        ours = address.part != "mlflow"
        self.credential = credential or (credential_for(address.at) if stored and ours else None)
        # A proxy of the environment is for the internet, not for a stack on this machine.
        self._client = httpx.Client(
            timeout=timeout, auth=auth, trust_env=not _is_here(address.at), headers=headers_of(self.credential)
        )

    def get(self, path: str, **params: Any) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        return self._ask("GET", path, params=given)

    def post(self, path: str, body: Any) -> Any:
        return self._ask("POST", path, json=body)

    def upload(self, path: str, content: bytes, **params: str) -> Any:
        return self._ask("POST", path, params=params, content=content)

    def save(self, path: str, file: IO[bytes], **params: Any) -> None:
        """Write the body of a response to `file` as it arrives. Raises CliError also for one that ends early."""
        given = {name: value for name, value in params.items() if value is not None}
        try:
            with self._client.stream("GET", self.address.at + path, params=given) as answer:
                if not answer.is_success:
                    answer.read()
                    raise refusal(self.address, self.credential, answer, _json(answer))
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self.address.silent(_reason(error)) from error

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._client.request(method, self.address.at + path, **options)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self.address.silent(_reason(error)) from error
        try:
            body = answer.json()
        except ValueError as error:
            raise CliError(
                f"{method} {answer.url} answered {answer.status_code} with something that is not JSON",
                f"Is that really the {self.address.part} of Gauntlet? It begins: {answer.text[:80]!r}",
            ) from error
        if answer.is_success:
            return body
        raise refusal(self.address, self.credential, answer, body)

    def caller(self) -> dict[str, Any]:
        """Return who the service takes the caller for: `method` is "off" while authentication is."""
        if self.credential is None:
            return {"method": "off"}  # or it refuses the request that follows, and says so
        try:
            found: dict[str, Any] = self.get("/whoami")
        except ServiceError as error:
            if error.status == httpx.codes.NOT_FOUND:  # of a build without authentication
                return {"method": "off"}
            raise
        return found


def gatekeeper_client(gatekeeper: str | None, data_dir: Path, timeout: httpx.Timeout = TIMEOUT) -> ServiceClient:
    """Return a client of the given gatekeeper, else of the stack's."""
    return ServiceClient(service("gatekeeper", data_dir, gatekeeper), timeout)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def refusal(address: Address, credential: Credential | None, answer: httpx.Response, body: Any) -> ServiceError:
    """Return the error for a response that is no success, with the remedy where there is one."""
    return refusal_of(address, credential, answer.status_code, body if isinstance(body, dict) else {})


def refusal_of(
    address: Address, credential: Credential | None, status: int, problem: Mapping[str, Any]
) -> ServiceError:
    """Return the same for a status and what the service said."""
    title = str(problem.get("title") or problem.get("error_code") or f"HTTP {status}")
    detail = str(problem.get("detail") or problem.get("message") or "")
    hint = None
    if status == httpx.codes.UNAUTHORIZED:
        hint = (
            f"The token from {credential.source} is not valid there: it was revoked, has expired, or is for another"
            " stack."
            if credential
            else f"{address.title} needs a token: set GAUNTLET_TOKEN, or store one with `gauntlet login`."
        )
    elif status == httpx.codes.FORBIDDEN:
        hint = "`gauntlet whoami` shows your roles; another token, or a rule in AUTH_ROLES_FILE, grants more."
    elif status == 503:
        hint = f"{address.part} at {address.at} is not ready; try again in a moment, or see: gauntlet status"
    elif status >= 500:
        hint = f"{address.part} at {address.at} failed; its log says why."
    return ServiceError(f"{title}: {detail}" if detail else title, hint, status, problem)


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
