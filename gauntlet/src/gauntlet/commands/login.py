"""`gauntlet login`, `logout` and `whoami`: the token that the commands present."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gauntlet.errors import CliError
from gauntlet.options import DEFAULT_DATA_DIR, DataDir, GatekeeperUrl, Json
from gauntlet.output import console, print_json

Url = Annotated[
    str | None,
    typer.Argument(metavar="URL", help="A service; default: every service of the stack, as the commands find them."),
]


def login(url: Url = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Store a token for a stack: it is asked for, or read from standard input (never an argument).

    It is verified first, and kept in a file that only you can read; GAUNTLET_TOKEN takes precedence. A token is made
    by `gauntlet token create` (AUTH=tokens), or comes from your identity provider (AUTH=oidc).
    """
    from gauntlet import credentials

    urls = _urls(url, data_dir)
    if _caller(urls[0], data_dir, None)["method"] == "off":
        console().print(f"authentication is off at {urls[0]}: no token is needed", markup=False, soft_wrap=True)
        return
    token = credentials.checked(_given(), "standard input")
    found = _caller(urls[0], data_dir, credentials.Credential(token, "standard input"))
    path = credentials.store(urls, token)
    said = f"logged in as {found['subject']} at {', '.join(urls)}; the token is in {path}"
    console().print(said, markup=False, soft_wrap=True)


def logout(url: Url = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Remove the stored token of a stack from this machine. It stays valid: gauntlet token revoke ends it."""
    from gauntlet import credentials

    urls = _urls(url, data_dir)
    had = credentials.forget(urls)
    said = f"removed the token for {', '.join(had)}" if had else f"no token is stored for {', '.join(urls)}"
    console().print(said, markup=False, soft_wrap=True)


def whoami(gatekeeper: GatekeeperUrl = None, as_json: Json = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show as whom the services know you, with which roles, and where the token comes from."""
    from gauntlet.service_client import gatekeeper_client

    client = gatekeeper_client(gatekeeper, data_dir)
    found, credential = client.get("/whoami"), client.credential
    source = credential.source if credential else None
    if as_json:
        print_json({**found, "source": source})
        return
    if found["method"] == "off":
        said = f"authentication is off at {client.address.at}: everybody may do everything"
    else:
        roles, models = ", ".join(found["roles"]) or "none of its own", ", ".join(found["models"])
        said = f"{found['subject']} ({found['method']}), roles: {roles}, models: {models}; token from {source}"
    console().print(said, markup=False, soft_wrap=True)


def _urls(url: str | None, data_dir: Path) -> list[str]:
    """Return the addresses that a token is for; the first one is asked who presents it."""
    from gauntlet.endpoints import service
    from gauntlet.stack_file import URL_VARIABLES

    if url is not None:
        return [url.rstrip("/")]
    names = ["gatekeeper", *(name for name in URL_VARIABLES if name != "gatekeeper")]
    return [service(name, data_dir, None).at for name in names]


def _caller(url: str, data_dir: Path, credential: Any) -> dict[str, Any]:
    """Return who presents the credential at a service. Without one, who does not is answered with `method` unknown."""
    from gauntlet.endpoints import Address
    from gauntlet.service_client import ServiceClient, ServiceError

    address = Address("gatekeeper", url, data_dir, named=True, running=False)
    try:
        found: dict[str, Any] = ServiceClient(address, credential=credential, stored=False).get("/whoami")
    except ServiceError as error:
        if error.status == 401 and credential is None:
            return {"method": "unknown"}
        raise
    return found


def _given() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Token", hide_input=True, err=True))
    token = sys.stdin.read()
    if not token.strip():
        raise CliError(
            "standard input holds no token",
            "Pipe one in (gauntlet login < FILE), or set GAUNTLET_TOKEN instead of logging in.",
        )
    return token
